"""Instruction sets as data: relocations, fields, forms of sites, registers; and an instruction decoder.

Knows no image: `image` reads files.
"""
