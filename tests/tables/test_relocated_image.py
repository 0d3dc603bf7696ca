"""A relocated image; a second link at the new address, which is the linker's own word, is the oracle."""

from pathlib import Path

import pytest

from buildplug.arch.model import Arch
from buildplug.arch.x86 import I386, X86_64
from buildplug.config.rule import Rule, find
from buildplug.runtime.memory import memory_of
from buildplug.runtime.relocate import relocate
from buildplug.tables import relocs
from tests.conftest import HIGH, LOW, Link
from tests.tables.relocated_program import program


def same_as_linked_there(
    link: Link, text: str, rule: Rule, slide: int, base: int, ld: str, arch: Arch = X86_64
) -> None:
    """That an image, relocated by the reference, holds what the linker puts there if it links at the new address."""
    image = link(text, base=base, ld=ld, arch=arch)
    table = relocs.relocs_of(image, rule)
    linked, _, _ = memory_of(image)
    at = (image.address_of("bp_relocs") or 0) + slide
    memory, start, end = memory_of(image, slide)
    memory.write(at, table.encode())
    assert relocate(arch, memory, at, start, end, slide) == ("ok", 0)
    memory.write(at, bytes(512))
    there, _, _ = memory_of(link(text, base=base + slide, ld=ld, arch=arch))
    assert there.regions == memory.regions
    changed = [was != is_ for (_, was), (_, is_) in zip(linked.regions, there.regions, strict=True)]
    assert changed == [True, True, True]  # .text, .rodata, .data


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
@pytest.mark.parametrize("base", [LOW, HIGH])
@pytest.mark.parametrize("slide", [0x1000, 0x1234568, 0x10000000])
def test_relocated_image_equals_one_linked_there(link: Link, tmp_path: Path, ld: str, base: int, slide: int) -> None:
    same_as_linked_there(link, program(base), find("relocs", tmp_path), slide, base, ld)


PROGRAM_I386 = """
    .text
    .globl start, far
start:
    mov $start, %eax
    mov table(,%eax,4), %ebx
    call far
    jmp absolute                # rel32 of what does not move
    mov $low, %ecx
    .skip 200
far:
    ret
    .section .rodata
table: .long start, far + 3, low, object, object - .
    .data
object: .byte 1
    .long object
    .balign 8
    .globl bp_relocs
bp_relocs: .skip 512
    .globl low, absolute
    low = 0x1234
    absolute = 0x4000
"""


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_relocated_i386_image_equals_one_linked_there(link: Link, tmp_path: Path, ld: str) -> None:
    same_as_linked_there(link, PROGRAM_I386, find("relocs", tmp_path), 0x123450, LOW, ld, I386)
