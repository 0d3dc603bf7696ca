"""References of aarch64, in images of GNU ld and lld, old and new: what objdump says of every instruction."""

import re
from pathlib import Path

import pytest

from buildplug.base.errors import BuildplugError
from buildplug.config import select as config
from buildplug.config.rule import Rule
from buildplug.image.compare import compare
from buildplug.image.elf import Image
from buildplug.select.references import extract
from tests.conftest import tool

LINKERS = ("aarch64-linux-gnu-ld", "ld.lld", "ld.lld-19")
LEAVE = ("interior", "slot-load", "slot-store", "slot-address", "relative-pointer")

SOURCE = r"""
struct ops { void (*first)(void), (*second)(void); };
__attribute__((noinline)) void pv_f(void) { asm volatile("nop; nop"); }
__attribute__((noinline)) static void pv_static(void) { asm volatile("nop; nop; nop"); }
__attribute__((noinline)) int pv_g(int x) { asm volatile("nop" : "+r"(x)); return x; }
void before(void) { asm volatile("nop; nop"); }
struct ops pv_ops = { pv_f, pv_static }, other = { before, before };
void (*const pointer)(void) = pv_f;
int calls(int x) { pv_f(); before(); pv_static(); pv_ops.second(); if (x) pv_f(); return pv_g(x); }
void *function(void) { return pv_f; }
void *slot(void) { return &pv_ops.second; }
void tail(void) { pv_ops.first(); }
void set(void) { pv_ops.first = before; other.first(); }
"""
CODE = r"""
    .text
    .globl code
    .type code, %function
code:
    b.eq pv_f
    b.al pv_f
    cbz x0, pv_f
    cbnz w7, pv_f
    tbz x3, #40, pv_f
    tbnz w3, #4, pv_f
    b.ne before
    b pv_f
    adr x3, pv_f
    ldr x4, =pv_f
    ldr x5, =pv_ops
    bl pv_f
    hint #127
    bl pv_f
    hint #127
    hint #127
    bl pv_f
    hint #127
    hint #127
    hint #127
    bl pv_f+4
    adrp x16, pv_ops+8
    ldr x16, [x16, :lo12:pv_ops+8]
    blr x16
    adrp x16, pv_ops
    ldr x16, [x16, :lo12:pv_ops]
    br x16
    ret
    .size code, . - code
    .data
    .word pv_f - .
    .xword pv_f - .
"""
SCRIPT = """SECTIONS {
    . = 0x40080000;
    .text : { *(.text .text.*) }
    .rodata : { *(.rodata .rodata.*) }
    . = ALIGN(%s);
    .data : { *(.data .data.*) }
    /DISCARD/ : { *(.eh_frame .comment .note.*) }
}
"""
FLAGS = ("--target=aarch64-linux-gnu", "-O2", "-ffreestanding", "-fno-pic", "-ffunction-sections")


def linked(folder: Path, ld: str, *flags: str, source: str = SOURCE, code: str = CODE, align: str = "0x1000") -> Image:
    """A program of C and assembly, linked with its relocations kept."""
    folder.mkdir(exist_ok=True)
    for name, text in (("a.c", source), ("b.s", code)):
        (folder / name).write_text(text)
        tool("clang", *FLAGS, "-c", name, "-o", f"{name}.o", cwd=folder)
    (folder / "a.lds").write_text(SCRIPT % align)
    tool(ld, "--emit-relocs", *flags, "-e", "0", "-T", "a.lds", "a.c.o", "b.s.o", "-o", "image", cwd=folder)
    return Image(folder / "image")


def rule(leave: tuple[str, ...] = LEAVE) -> Rule:
    return Rule("test", "", config.References(functions=("pv_*",), slots=("pv_ops",), leave=leave))


def found(image: Image, section: str = ".text") -> list[tuple[int, str, str, int]]:
    """(address, form, target, value) of the references from a section."""
    references = extract(image, rule())
    return [
        (int(image.addresses[row[0]]) + row[1], image.arch.forms[row[2]].name, references.targets[row[3]].name, row[4])
        for row in references.rows.tolist()
        if image.sections[row[0]].name == section
    ]


def branches(folder: Path) -> dict[int, str]:
    """What objdump says of each direct branch to a function: its address -> the name, of pv_ functions."""
    text = tool("aarch64-linux-gnu-objdump", "-d", "image", cwd=folder)
    lines = re.findall(
        r"^ +([0-9a-f]+):\t[0-9a-f]{8} \t(?:bl?|b\.\w+|cbn?z|tbn?z)\t.*<(pv_\w+)>(?:\s+//.*)?$", text, re.M
    )
    return {int(address, 16): name for address, name in lines}


@pytest.mark.parametrize("ld", LINKERS)
def test_branches_are_those_that_objdump_sees(tmp_path: Path, ld: str) -> None:
    said = {a: name for a, form, name, _ in found(linked(tmp_path, ld)) if form[:3] not in ("adr", "add", "poi", "slo")}
    assert said == branches(tmp_path)
    assert len(said) == 14


@pytest.mark.parametrize("ld", LINKERS)
def test_every_form_is_recognised(tmp_path: Path, ld: str) -> None:
    image = linked(tmp_path, ld)
    seen = {form for _, form, _, _ in found(image)}
    relaxed = {"adrp", "add lo12"} if "lld" in ld else set[str]()
    assert seen == {form.name for form in image.arch.forms} - relaxed
    assert [(form, name) for _, form, name, _ in found(image, ".data")] == [
        ("pointer", "pv_f"),
        ("pointer", "pv_static"),
    ]
    assert extract(image, rule()).ignored == {
        "interior": 1, "relative-pointer": 2, "slot-address": 6, "slot-load": 2, "slot-store": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("relax", "forms"), [((), ["adr"]), (("--no-relax",), ["adrp", "add lo12"])])
def test_an_address_is_what_lld_made_of_it(tmp_path: Path, relax: tuple[str, ...], forms: list[str]) -> None:
    image = linked(tmp_path, "ld.lld", *relax)
    start = image.address_of("function") or 0
    assert [form for address, form, name, _ in found(image) if start <= address < start + 8] == forms


@pytest.mark.parametrize("ld", LINKERS)
def test_a_call_by_a_veneer_is_one_of_its_target(tmp_path: Path, ld: str) -> None:
    far = SOURCE.replace("(noinline)) void pv_f", '(noinline, section(".data.far"))) void pv_f')
    image = linked(tmp_path, ld, source=far, code="", align="0x10000000")
    start, end = (image.address_of(name) or 0 for name in ("calls", "function"))
    target = image.address_of("pv_f")
    assert [form for address, form, _, value in found(image) if value == target and start <= address < end] == [
        "bl"
    ] * 2


@pytest.mark.parametrize(
    ("old", "new"), [("94", "94000001"), ("14", "17ffffff"), ("54", "54000020"), ("10", "10000003")]
)
def test_a_field_that_another_tool_changed_is_an_error_that_names_it(tmp_path: Path, old: str, new: str) -> None:
    image = linked(tmp_path, "aarch64-linux-gnu-ld")
    text = image.section(".text")
    address = next(
        a for a, form, *_ in found(image) if form == {"94": "bl", "14": "b", "54": "b.cond", "10": "adr"}[old]
    )
    data = bytearray(image.path.read_bytes())
    at = text.offset + address - text.address
    data[at : at + 4] = int(new, 16).to_bytes(4, "little")
    image.path.write_bytes(data)
    expected = (
        rf"\.text\+{address - text.address:#x}: the field does not hold what its relocation says: expected .* of "
    )
    with pytest.raises(BuildplugError, match=expected):
        extract(Image(image.path), rule())


@pytest.mark.parametrize(("kind", "what"), [("slot-load", "reads a slot"), ("slot-store", "writes a slot")])
def test_what_c_does_with_a_slot_is_refused_by_name(tmp_path: Path, kind: str, what: str) -> None:
    image = linked(tmp_path, LINKERS[0])
    with pytest.raises(BuildplugError, match=f"found {kind} of pv_ops .{what}"):
        extract(image, rule(tuple(name for name in LEAVE if name != kind)))


ERRATUM = """
    .section .text.mended, "ax"
    .balign 4096
    .globl mended
    .type mended, %function
mended:
    .rept 0xff8 / 4
    nop
    .endr
    adrp x0, pv_ops
    str x1, [x2]
    ldr x0, [x0, :lo12:pv_ops + 8]
    ret
    .size mended, . - mended
"""
MEND = "--fix-cortex-a53-843419"


@pytest.mark.parametrize(
    ("ld", "flag", "left"),
    [
        ("aarch64-linux-gnu-ld", MEND, {"adr", "ldr"}), ("aarch64-linux-gnu-ld", f"{MEND}=adrp", {"adrp", "b"}),
        ("ld.lld", MEND, {"adrp", "b"}), ("ld.lld-19", MEND, {"adrp", "b"}),
    ],
)  # fmt: skip
def test_what_the_linker_mends_is_a_reference_as_before(tmp_path: Path, ld: str, flag: str, left: set[str]) -> None:
    """Arm's erratum 843419: an adrp at the end of a page, a store, and a load by the adrp's register."""
    plain, mended = (
        linked(folder, ld, *flags, code=CODE + ERRATUM)
        for folder, flags in ((tmp_path / "plain", ()), (tmp_path / "mended", (flag,)))
    )
    text = tool("aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", "--disassemble=mended", mended.path)
    assert set(re.findall(r"^ +\w+:\t(adrp?|ldr|b)\t", text, re.M)) == left
    assert compare(mended, mended, set()).changed == ()
    assert found_targets(mended) == found_targets(plain)


def found_targets(image: Image) -> tuple[list[tuple[str, str]], dict[str, int]]:
    """The forms and targets of the references, and how many of each kind are ignored."""
    return [(form, target) for _, form, target, _ in found(image)], dict(extract(image, rule()).ignored)
