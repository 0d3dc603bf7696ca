"""Loops in C, for what numpy takes longer for. Optional: whoever calls one does without it, too.

The C is compiled when buildplug is installed, if there is a compiler. Knows arrays, and the layout of relocations.
"""
