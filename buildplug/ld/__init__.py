"""The wrapper around a linker: the link of a kernel gets tables, any other is the linker's.

Knows no build system.
"""
