"""What the kernel does with its tables, in Python: the reference implementation for the C code.

Knows no pass and no template.
"""
