"""Rebuilds in varied environments, compares the outputs, and reports what differs and why.

Knows no pass: it runs builds as users do.
"""
