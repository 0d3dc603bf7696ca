"""Depfiles of make and ninja."""

import re


def escaped(name: str) -> str:
    """A name as depfiles have it."""
    return re.sub(r"([ #])", r"\\\1", name).replace("$", "$$")
