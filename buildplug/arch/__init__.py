"""Instruction sets as data: relocations, fields, forms of sites, registers, and a decoder of instructions.

Knows no image: what is in a file is read by `image`.
"""
