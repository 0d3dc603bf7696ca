"""Builds again in varied surroundings, compares, and says what differs and why.

Knows no pass: it runs builds as their users do.
"""
