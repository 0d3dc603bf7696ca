"""Linux's own build with our link stage in it.

Knows no format: the tables for Linux are rules like any other.
"""
