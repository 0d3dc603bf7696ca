"""Calls of a function that is too far for their instruction: linkers lead them by a veneer, or make a longer one. Where
that begins only in the relink, as the tables have pushed the function away, code moves between the links."""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

import pytest

from buildplug.image.elf import Image
from tests.conftest import tool
from tests.samples import buildplug, edit, one_line
from tests.select.test_references_aarch64 import ERRATUM, MEND

COUNT = 700  # calls: their table is larger than what the assembler and the linker align to


@dataclass(frozen=True)
class Far:
    """An architecture whose calls have a limit, and a linker."""

    arch: str
    prefix: str
    ld: str
    call: str  # one call, in assembly
    size: int  # bytes of one that is near
    limit: int  # how far one reaches
    flags: tuple[str, ...] = ()  # of the assembler
    words: tuple[str, ...] = ()  # of the linker


A64 = ("aarch64", "aarch64-linux-gnu-")
RV64 = ("riscv64", "riscv64-linux-gnu-")
FARS = [
    Far(*A64, "aarch64-linux-gnu-ld", "bl traced", 4, 1 << 27),
    Far(*A64, "aarch64-linux-gnu-ld", "bl traced", 4, 1 << 27, (), ("--fix-cortex-a53-843419",)),
    Far(*A64, "ld.lld", "bl traced", 4, 1 << 27),
    Far(*A64, "ld.lld-19", "bl traced", 4, 1 << 27),
    Far(*A64, "ld.lld-19", "bl traced", 4, 1 << 27, (), ("--fix-cortex-a53-843419",)),
    Far(*RV64, "riscv64-linux-gnu-ld", "call traced", 8, 1 << 20, ("-mno-relax",)),
    Far(*RV64, "ld.lld-19", "call traced", 8, 1 << 20, ("-mno-relax",)),
    Far(*RV64, "riscv64-linux-gnu-ld", "call traced", 4, 1 << 20, ("-mrelax",)),
    Far(*RV64, "ld.lld-19", "call traced", 4, 1 << 20, ("-mrelax",)),
]
SOURCE = """
    .text
    .globl _start, sites, sites_end
_start:
sites:
    .rept {count}
    {call}
    .endr
sites_end:
    ret
    .rodata
    .quad bp_traced
    .section .far, "ax"
    .globl traced
    .type traced, %function
traced:
    ret
    .section .note.GNU-stack, "", %progbits
"""
SCRIPT = """
ENTRY(_start)
SECTIONS {{
    . = 0x40000000;
    .text : {{ *(.text) }}
    .rodata : {{ *(.rodata) }}
    .data : {{ *(.data) }}
    . = . + {gap:#x};
    .far : {{ *(.far) }}
    /DISCARD/ : {{ *(.comment .eh_frame) }}
}}
"""
RULE = """
name = "traced"
about = "calls of a function"
[select]
functions = ["traced"]
kinds = ["call"]
[table]
head = false
fields = [{ name = "site", type = "i4", value = "site" }]
"""
VENEER = r"__(traced_veneer|AArch64\w+Thunk_traced)"
CONFIG = '[kernel]\nname = "image"\narch = "{0}"\n[toolchain]\ncc = "gcc"\nld = "{1}"\n[compile]\nasflags = [{2}]\n'


def project(folder: Path, far: Far) -> None:
    source = SOURCE.format(count=COUNT, call=far.call).replace("\n    .rodata\n", "\n    .section .rodata\n")
    (folder / "a.S").write_text(source)
    (folder / "traced.toml").write_text(RULE)
    flags = ", ".join(f'"{flag}"' for flag in far.flags)
    config = CONFIG.format(far.arch, far.ld, flags) + '[[table]]\nrule = "traced.toml"\n'
    (folder / "buildplug.toml").write_text(config)
    tool(f"{far.prefix}gcc", *far.flags, "-c", "a.S", cwd=folder)


def link(folder: Path, far: Far, gap: int, *how: str) -> str:
    """Links with that gap before the function; the error, empty if there is none."""
    (folder / "a.lds").write_text(SCRIPT.format(gap=gap))
    words = (*far.words, "-T", "a.lds", "a.o", "-o", "image")
    done = buildplug("ld", "--keep", *how, "--emit-relocs", *words, cwd=folder)
    return one_line(done.stderr) if done.returncode else ""


def distance(image: Image) -> int:
    return (image.address_of("traced") or 0) - (image.address_of("sites") or 0)


def rows(image: Image) -> list[int]:
    """The addresses in the table, as the kernel reads them."""
    start = image.address_of("bp_traced") or 0
    table = image.section_at(start)
    assert table
    content = image.bytes_of(table).tobytes()[start - table.address :][: 4 * COUNT]
    return [start + 4 * n + value for n, (value,) in enumerate(struct.iter_unpack("<i", content))]


def starts(far: Far, image: Image) -> list[int]:
    """The addresses of the calls: objdump prints the second instruction of a long one, too."""
    text = tool(f"{far.prefix}objdump", "-d", "--no-show-raw-insn", "-j", ".text", image.path)
    start, end = (image.address_of(name) or 0 for name in ("sites", "sites_end"))
    lines = (line.split(":\t") for line in text.splitlines() if ":\t" in line)
    calls = [int(address, 16) for address, code in lines if code.split()[0] in ("bl", "jal", "auipc")]
    return [address for address in calls if start <= address < end]


@pytest.fixture(params=FARS, ids=lambda far: " ".join((far.arch, far.ld, *far.flags, *far.words)))
def far(request: pytest.FixtureRequest) -> Far:
    found: Far = request.param
    return found


@pytest.mark.parametrize("how", [(), ("--relink",)], ids=["", "relink"])
def test_calls_of_a_far_function_are_those_that_objdump_prints(tmp_path: Path, far: Far, how: tuple[str, ...]) -> None:
    project(tmp_path, far)
    assert not link(tmp_path, far, far.limit + (1 << 20), *how)
    image = Image(tmp_path / "image")
    assert distance(image) > far.limit
    assert len(starts(far, image)) == COUNT
    assert rows(image) == starts(far, image)


def far_in_the_relink(folder: Path, far: Far) -> None:
    """Links so that the draft's calls are near, the relink's far."""
    near = far.limit // 2
    assert not link(folder, far, near, "--relink")
    draft, relinked = (distance(Image(folder / f"image.buildplug/image.{name}")) for name in ("draft", "relinked"))
    assert relinked > draft + 4 * COUNT // 2
    assert not link(folder, far, near + far.limit - (draft + relinked) // 2, "--relink")
    draft, relinked = (distance(Image(folder / f"image.buildplug/image.{name}")) for name in ("draft", "relinked"))
    assert draft < far.limit < relinked


def test_calls_that_become_far_in_the_relink_are_true(tmp_path: Path, far: Far) -> None:
    project(tmp_path, far)
    far_in_the_relink(tmp_path, far)
    image = Image(tmp_path / "image")
    assert len(starts(far, image)) == COUNT
    assert rows(image) == starts(far, image)


@pytest.mark.parametrize("ld", ["aarch64-linux-gnu-ld", "ld.lld", "ld.lld-19"])
@pytest.mark.parametrize(
    ("where", "behind"),
    [("sites_end", 0), (VENEER, 0), (VENEER, 8)],
    ids=["in front of the veneer", "in it", "its end"],
)
def test_what_else_changes_where_a_veneer_appears_is_found_by_the_proof(
    tmp_path: Path, ld: str, where: str, behind: int
) -> None:
    far = next(far for far in FARS if far.ld == ld)
    project(tmp_path, far)
    far_in_the_relink(tmp_path, far)
    draft, final = (tmp_path / f"image.buildplug/image.{name}" for name in ("draft", "relinked"))
    verify: list[str | Path] = ["verify", draft, final, "--config", tmp_path]
    done = buildplug(*verify)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"moved by the relink: \.text: {4 * COUNT + 4} bytes became \d+", done.stderr)
    image, data = Image(final), bytearray(final.read_bytes())
    at = image.address_of(next(name for name in image.names if re.fullmatch(where, name))) or 0
    text = image.section(".text")
    data[text.offset + at + behind - text.address] ^= 0x20
    final.write_bytes(data)
    assert buildplug(*verify).returncode == 1


@pytest.mark.parametrize(
    ("ld", "flag"),
    [("aarch64-linux-gnu-ld", MEND), ("aarch64-linux-gnu-ld", f"{MEND}=adrp"), ("ld.lld", MEND), ("ld.lld-19", MEND)],
)
def test_copies_that_mend_an_erratum_may_refer_to_what_moves(tmp_path: Path, ld: str, flag: str) -> None:
    far = Far(*A64, ld, "bl traced", 4, 1 << 27, (), (flag,))
    project(tmp_path, far)
    code = ERRATUM.replace('.section .text.mended, "ax"', ".text").replace("pv_ops", "moved")
    code += "    .type plain, %function\nplain: ldr x0, [x0, #8]\n    b plain\n    .size plain, . - plain\n"
    code += "without_size: ldr x0, [x0, #8]\n    b plain\n"
    data = "    .data\n    .balign 8\n    .globl moved\nmoved: .quad 1, 2, 3\n"
    edit(tmp_path / "a.S", ("    .section .rodata\n", f"{code}{data}    .section .rodata\n"))
    tool(f"{far.prefix}gcc", "-c", "a.S", cwd=tmp_path)
    assert not link(tmp_path, far, 1 << 20, "--relink")
    draft, final = (tmp_path / f"image.buildplug/image.{name}" for name in ("draft", "relinked"))
    low = [(Image(path).address_of("moved") or 0) % 4096 for path in (draft, final)]
    assert low[0] != low[1]
    image, content = Image(final), final.read_bytes()
    text, at = image.section(".text"), (image.address_of("mended") or 0) + 4096
    (word,) = struct.unpack_from("<I", content, text.offset + at - text.address)
    copy = at + 4 * (word & 0x3FFFFFF) if word >> 26 == 5 else at  # a branch, or the load itself
    for address in (copy, image.address_of("plain") or 0, image.address_of("without_size") or 0):
        changed = bytearray(content)
        changed[text.offset + address - text.address + 1] ^= 0x10
        final.write_bytes(changed)
        assert buildplug("verify", draft, final, "--config", tmp_path).returncode == 1


@pytest.mark.parametrize("ld", ["aarch64-linux-gnu-ld", "ld.lld"])
def test_a_veneer_that_leads_elsewhere_is_found_by_the_proof(tmp_path: Path, ld: str) -> None:
    far = next(far for far in FARS if far.ld == ld)
    project(tmp_path, far)
    assert not link(tmp_path, far, far.limit + (1 << 20), "--relink")
    links = [tmp_path / f"image.buildplug/image.{name}" for name in ("draft", "relinked")]
    verify: list[str | Path] = ["verify", *links, "--config", tmp_path]
    done = buildplug(*verify)
    assert done.returncode == 0, done.stderr
    image = Image(links[1])
    veneer = next(n for n in image.names if re.fullmatch(VENEER, n))
    text, start = image.section(".text"), image.address_of(veneer) or 0
    data = bytearray(links[1].read_bytes())
    data[text.offset + start - text.address + (1 if "Thunk" not in veneer else 9)] ^= 0x10
    links[1].write_bytes(data)
    assert buildplug(*verify).returncode == 1
