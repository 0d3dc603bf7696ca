"""The rows that a rule selects from an image: symbols, references, relocations, records.

Independent of any table's binary format.
"""
