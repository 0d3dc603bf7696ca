"""References of riscv64, in images of GNU ld and lld, relaxed or not: what objdump says of every instruction."""

import re
from pathlib import Path

import pytest

from buildplug.base.errors import BuildplugError
from buildplug.image.elf import Image
from buildplug.select.references import extract
from tests.conftest import tool
from tests.select.test_references_aarch64 import SCRIPT, SOURCE, found, rule

LINKERS = ("riscv64-linux-gnu-ld", "ld.lld-19")
RELAX = ("-mrelax", "-mno-relax")
CODE = r"""
    .text
    .globl code
    .type code, @function
code:
    beqz a0, 1f
    bne a0, a1, pv_f
    call pv_f
    call t0, pv_f
    tail pv_f
1:  jal pv_f
    jal t0, pv_f
    j pv_f
    .balign 16
    lla a0, pv_f
    la a1, pv_ops
    lui a2, %hi(pv_f)
    addi a2, a2, %lo(pv_f)
    lui a3, %hi(pv_ops)
    ld a3, %lo(pv_ops)(a3)
    lla a4, before
    call pv_g
    .option push
    .option norelax
    .option norvc
2:  auipc t0, %pcrel_hi(pv_f)
    jalr t0, %pcrel_lo(2b)(t0)
3:  auipc ra, %pcrel_hi(pv_ops+8)
    ld ra, %pcrel_lo(3b)(ra)
    jalr ra
    .option pop
4:  auipc t1, %pcrel_hi(pv_ops)
    nop
    ld t1, %pcrel_lo(4b)(t1)
    c.j pv_f
    ret
    .size code, . - code
    .data
    .word pv_f - .
    .dword pv_f - .
    .dword pv_g
"""
FLAGS = ("--target=riscv64-linux-gnu", "-mcmodel=medany", "-O2", "-ffreestanding", "-fno-pic", "-ffunction-sections")


def linked(folder: Path, ld: str, relax: str, *flags: str, code: str = CODE) -> Image:
    """A program of C and assembly, linked with its relocations kept."""
    for name, text in (("a.c", SOURCE), ("b.s", code)):
        (folder / name).write_text(text)
        tool("clang", *FLAGS, relax, "-c", name, "-o", f"{name}.o", cwd=folder)
    script = SCRIPT % "0x1000"
    for section in (".rodata", ".data"):
        script = script.replace(f"*({section} {section}.*)", f"*({section} {section}.* .s{section[1:]}*)")
    (folder / "a.lds").write_text(script)
    script_flags = () if ld == "mold" else ("-T", "a.lds")  # which takes none
    tool(ld, "--emit-relocs", *flags, *script_flags, "-e", "0", "a.c.o", "b.s.o", "-o", "image", cwd=folder)
    return Image(folder / "image")


def branches(folder: Path) -> dict[int, str]:
    """What objdump says of each direct branch to a pv_ function, also by auipc and jalr: its address -> the name."""
    text = tool("riscv64-linux-gnu-objdump", "-d", "image", cwd=folder)
    said = {}
    for address, name, target in re.findall(r"^ +([0-9a-f]+):\t[0-9a-f]+ +\t(\w+)\t.*<(pv_[fgs]\w*)>$", text, re.M):
        if name[0] in "jb":
            said[int(address, 16) - 4 * (name in ("jalr", "jr"))] = target
    return said


@pytest.mark.parametrize("relax", RELAX)
@pytest.mark.parametrize("ld", LINKERS)
def test_branches_are_those_that_objdump_sees(tmp_path: Path, ld: str, relax: str) -> None:
    image = linked(tmp_path, ld, relax)
    kinds = {form.name: form.kind.name for form in image.arch.forms}
    said = {a: name for a, form, name, _ in found(image) if kinds[form] in ("call", "jump", "cond-jump")}
    assert said == branches(tmp_path)
    assert len(said) == 14


@pytest.mark.parametrize("relax", RELAX)
@pytest.mark.parametrize("ld", LINKERS)
def test_slots_addresses_and_pointers_are_seen(tmp_path: Path, ld: str, relax: str) -> None:
    image = linked(tmp_path, ld, relax)
    seen = [form for _, form, _, _ in found(image)]
    assert (seen.count("slot call"), seen.count("lui addi"), seen.count("auipc addi")) == (1, 1, 2)
    assert [(form, name) for _, form, name, _ in found(image, ".data")] == [
        ("pointer", "pv_f"), ("pointer", "pv_static"), ("pointer", "pv_g"),
    ]  # fmt: skip
    ignored = extract(image, rule()).ignored
    assert ignored["relative-pointer"] == 2
    assert ignored["slot-load"] == 1


def test_relaxed_calls_are_shorter(tmp_path: Path) -> None:
    lengths = []
    for relax in RELAX:
        image = linked(tmp_path, LINKERS[0], relax)
        lengths.append([image.arch.forms[row["form"]].length for row in extract(image, rule()).rows])
    assert sum(lengths[0]) < sum(lengths[1])


@pytest.mark.parametrize(("ld", "flags"), [("ld.lld-19", ("--no-relax",)), ("mold", ())])
def test_relocations_that_are_not_true_are_an_error_that_says_what_helps(
    tmp_path: Path, ld: str, flags: tuple[str, ...]
) -> None:
    code = CODE.replace("code:\n", "code:\n    c.nop\n    .balign 16\n").replace("    ret\n", "    ret\n    .skip 64\n")
    image = linked(tmp_path, ld, "-mrelax", *flags, code=code)
    expected = "does not hold what its relocation says: expected .*; compile with -mno-relax"
    with pytest.raises(BuildplugError, match=expected):
        extract(image, rule())
