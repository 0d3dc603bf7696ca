"""Linkers that take the same options."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Linkers that take the same, known by a part of what they say of their version."""

    says: str
    scripts: bool = True
    refused: str = ""
    expands: bool = False  # whether a % in the name of a map stands for the output


FAMILIES = (  # the first that fits: some call themselves compatible with another
    Family("mold", scripts=False),
    Family("GNU gold", refused="it has no INSERT, which places tables beside a linker script"),
    Family("LLD"),
    Family("GNU ld", expands=True),
)
