"""Two functions and an ops struct to refer to, and the references that a rule finds."""

from typing import Any

from buildplug.arch.x86 import X86_64
from buildplug.config import select as config
from buildplug.config.rule import Rule
from buildplug.image.elf import Image
from buildplug.select.references import extract

LEFT = ("interior", "got", "relative-pointer", "slot-load", "slot-store", "slot-compare", "slot-address", "indexed")

# Two functions and an ops struct, each between neighbours that no rule selects.
KERNEL = """
    .section .text.kernel, "ax"
    .type before, @function
before:
    nop; ret
    .size before, . - before
    .globl pv_f, pv_g
    .type pv_f, @function
pv_f:
    nop; nop; nop; nop; nop; nop; nop; nop; ret
    .size pv_f, . - pv_f
    .type pv_g, @function
pv_g:
    ret
    .size pv_g, . - pv_g
    .type after, @function
after:
    ret
    .size after, . - after
    .data
    .balign 8
    .globl above, below, pv_ops
    .type above, @object
above:
    .quad 0, 0
    .size above, . - above
    .type pv_ops, @object
pv_ops:
    .skip 32
    .size pv_ops, . - pv_ops
    .type below, @object
below:
    .quad 0, 0
    .size below, . - below
    .text
    .globl code
    .type code, @function
code:
    nop
"""
CODE = 1  # offset of what a test adds


def rule(**select: Any) -> Rule:
    chosen = {"functions": ("pv_*",), "slots": ("pv_*ops",)} | select
    return Rule("test", "what the tests refer to", config.References(**chosen))


def found(image: Image, wanted: Rule | None = None, section: str = ".text") -> list[tuple[int, str, str, int]]:
    """(offset, form, symbol, addend) of the references from a section."""
    references = extract(image, wanted or rule(leave=LEFT))
    return [
        (row[1], X86_64.forms[row[2]].name, references.targets[row[3]].name, row[5])
        for row in references.rows.tolist()
        if image.sections[row[0]].name == section
    ]


def left(image: Image, **select: Any) -> dict[str, int]:
    """What a rule that leaves everything alone counts; no row may come of it."""
    references = extract(image, rule(leave=(*LEFT, "other"), **select))
    assert len(references.rows) == 0
    return references.ignored


CALLS = (
    KERNEL
    + "call pv_f\ncall pv_g\ncall before\ncall after\ncall *pv_ops+8(%rip)\ncall *above+8(%rip)\ncall *below(%rip)"
)
