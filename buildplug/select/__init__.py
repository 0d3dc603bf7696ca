"""The rows that a rule picks out of an image: symbols, references, relocations, records.

Knows no table's binary format.
"""
