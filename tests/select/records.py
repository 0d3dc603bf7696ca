"""Annotations in a small program, and what nm says of its symbols."""

import subprocess
from typing import Any

from buildplug.config.rule import Field, Output, Rule
from buildplug.config.select import Member, Records
from buildplug.image.elf import Image
from buildplug.select.rows import columns_of

LINKS = [(ld, flags) for ld in ("ld", "ld.lld") for flags in ((), ("-pie",))]
CODE = """
    .text
    .globl f, g, alias
    .type f, @function
    .type g, @function
    .type alias, @function
    nop
f:  nop
g:
alias:
    nop
label:
    nop
"""


def rule(*members: Member, fields: tuple[str, ...] = (), **select: Any) -> Rule:
    """A rule with a field for each member that is an address or a number, and those that are asked for."""
    plain = [Field(member.name, "i8", member.name) for member in members if member.holds != "string"]
    named = [Field(value.replace(".", "_"), "string", value) for value in fields]
    chosen = {"sections": (".rec",)} | select
    return Rule("test", "records of the tests", Records(members=members, **chosen), Output(fields=(*plain, *named)))


def absolute(name: str, holds: str = "address") -> Member:
    return Member(name, "word", holds, "zero")


def rows(image: Image, wanted: Rule) -> list[tuple[Any, ...]]:
    """The values of the rows, in the order of the rule."""
    return list(zip(*(column.tolist() for column in columns_of(image, wanted)[0].values()), strict=True))


def nm(image: Image) -> dict[str, int]:
    listed = subprocess.run(["nm", image.path], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1]: int(line.split()[0], 16) for line in listed.splitlines()}
