"""Loops in C, for what numpy takes several times as long for. Optional: whoever calls one does without it, too.

The C is compiled when buildplug is installed, if there is a compiler. Knows no ELF and no table.
"""
