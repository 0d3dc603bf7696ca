"""References of i386, whose relocations have no addends: each form, and what is none."""

import re
from pathlib import Path

import pytest

from buildplug.arch.x86 import I386
from buildplug.image.elf import Image
from buildplug.select.references import extract
from tests.conftest import LOW, Link, tool
from tests.select.kernel import CODE, LEFT, rule

HIGH = 0xC0100000  # where such kernels are linked: the upper gigabyte

KERNEL = """
    .section .text.kernel, "ax"
    .globl pv_f, pv_g
    .type pv_f, @function
pv_f:
    nop; nop; ret
    .size pv_f, . - pv_f
    .type pv_g, @function
pv_g:
    ret
    .size pv_g, . - pv_g
    .data
    .globl above, pv_ops
    .type above, @object
above:
    .long 0, 0
    .size above, . - above
    .type pv_ops, @object
pv_ops:
    .skip 16
    .size pv_ops, . - pv_ops
    .text
    .globl code
    .type code, @function
code:
    nop
"""
SITES = [
    ("call *pv_ops+4", "call *abs32", "pv_ops", 4),
    ("jmp *pv_ops+8", "jmp *abs32", "pv_ops", 8),
    ("lea pv_f, %edi", "lea abs32, r32", "pv_f", 0),
    ("jne pv_f", "jcc", "pv_f", -4),
    ("jg pv_g", "jcc", "pv_g", -4),
    ("call pv_f", "call", "pv_f", -4),
    ("call pv_f; .nops 5", "call", "pv_f", -4),
    *((f"bp_call_{n} pv_f", f"call in {n}", "pv_f", -4) for n in (8, 10, 12, 16)),
    ("call pv_g@PLT", "call", "pv_g", -4),
    ("jmp pv_g", "jmp", "pv_g", -4),
    ("mov $pv_f, %esi", "mov imm32, r32", "pv_f", 0),
    ("push $pv_f", "imm32", "pv_f", 0),
    ("movl $pv_f, above", "imm32", "pv_f", 0),
]


def found(image: Image, section: str = ".text") -> list[tuple[int, str, str, int]]:
    """(offset, form, symbol, addend) of the references from a section."""
    references = extract(image, rule(leave=LEFT))
    return [
        (row[1], I386.forms[row[2]].name, references.targets[row[3]].name, row[5])
        for row in references.rows.tolist()
        if image.sections[row[0]].name == section
    ]


def test_every_form_is_looked_for_here() -> None:
    others = {"addr16 call", "pointer"}
    assert {form for _, form, *_ in SITES} | others == {form.name for form in I386.forms}


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
@pytest.mark.parametrize("base", [LOW, HIGH])
@pytest.mark.parametrize(("code", "form", "symbol", "addend"), SITES)
def test_a_site_is_recognised(link: Link, ld: str, base: int, code: str, form: str, symbol: str, addend: int) -> None:
    image = link(f"{KERNEL} {code}", base=base, ld=ld, arch=I386)
    ((offset, *rest),) = found(image)
    assert rest == [form, symbol, addend]
    assert offset == CODE if next(f for f in I386.forms if f.name == form).opcode else offset > CODE


def test_a_call_of_the_linkers_making_is_recognised(link: Link) -> None:
    image = link(f"{KERNEL} call *pv_f@GOT", arch=I386)
    assert found(image) == [(CODE, "addr16 call", "pv_f", -4)]


def test_a_call_through_the_global_offset_table_is_told(link: Link) -> None:
    references = extract(link(f"{KERNEL} call *pv_f@GOT", ld="ld.lld", arch=I386), rule(leave=LEFT))
    assert (len(references.rows), references.ignored) == (0, {"got": 1})


def test_a_pointer_in_data_is_recognised(link: Link) -> None:
    image = link(f'{KERNEL}\n.section .rodata.x, "a"\n.long 0, pv_f', base=HIGH, arch=I386)
    assert found(image, ".rodata") == [(4, "pointer", "pv_f", 0)]


@pytest.mark.parametrize(
    ("code", "kind"),
    [("mov pv_ops, %eax", "slot-load"), ("mov pv_ops+4, %edi", "slot-load"), ("mov %ecx, pv_ops", "slot-store"),
     ("cmpl $0, pv_ops", "slot-compare"), ("mov $pv_ops, %eax", "slot-address"), ("call *pv_ops(,%ebx,4)", "indexed"),
     ("call pv_f+1", "interior")],
)  # fmt: skip
def test_what_is_no_site_is_told_by_kind(link: Link, code: str, kind: str) -> None:
    references = extract(link(f"{KERNEL} {code}", arch=I386), rule(leave=LEFT))
    assert (len(references.rows), references.ignored) == (0, {kind: 1})


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_addends_are_those_that_readelf_and_the_symbols_give(link: Link, tmp_path: Path, ld: str) -> None:
    """readelf prints of SHT_REL the symbol's value, and the field has the sum."""
    image = link(f"{KERNEL} {'; '.join(code for code, *_ in SITES)}", base=HIGH, ld=ld, arch=I386)
    said = re.findall(
        r"^([0-9a-f]{8}) +[0-9a-f]+ (R_386_\w+) +([0-9a-f]+) +(\S+)", tool("readelf", "-rW", image.path), re.M
    )
    text = image.section(".text")
    ours = image.relocations()
    ours = ours[ours["section"] == text.index]
    theirs = []
    for place, kind, value, _ in said:
        field = int.from_bytes(image.bytes_of(text)[int(place, 16) - text.address :][:4].tobytes(), "little")
        target = field + (int(place, 16) if kind in ("R_386_PC32", "R_386_PLT32") else 0)
        theirs.append((int(place, 16) - text.address, (target - int(value, 16) + 2**31) % 2**32 - 2**31))
    assert sorted(zip(ours["offset"].tolist(), ours["addend"].tolist(), strict=True)) == sorted(theirs)
