"""What the kernel does with its tables, in Python: the reference that the C code is compared with.

Knows no pass and no template.
"""
