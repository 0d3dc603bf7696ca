"""What implements ops, and the proofs of it: clobbers, followed code, cache lines.

Knows no pass, and changes nothing.
"""
