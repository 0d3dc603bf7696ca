"""Linux's own build, with our link stage plugged in.

Knows no format: the tables for Linux are rules like any other.
"""
