"""The implementations of ops, and what is proved of them: clobbers, control flow, cache lines.

Knows no pass, and changes nothing.
"""
