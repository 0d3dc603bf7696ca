"""A linked ELF file: sections, symbols, relocations, and what they say of its bytes.

Knows no rule, no table and no linker's options.
"""
