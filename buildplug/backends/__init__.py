"""Checks of the code that implements ops: clobbers, control flow, cache lines.

Knows no pass, and changes nothing.
"""
