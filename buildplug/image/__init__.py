"""A linked ELF file: sections, symbols, relocations, and what they say about its bytes.

Independent of rules, tables and linker options.
"""
