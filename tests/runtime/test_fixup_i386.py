"""The fixup on i386: the C, compiled for it, against the reference, byte for byte."""

import random
import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from buildplug.arch.x86 import I386
from buildplug.runtime.memory import Status
from buildplug.stage import render
from buildplug.tables.sites_format import ERRORS
from tests.conftest import tool
from tests.layouts import LOW, SIZE, Layout, Op, Site, Way, corrupted, from_seed, lay_out
from tests.runtime.i386_host import FLAGS, HOST

COUNT = 600  # layouts of each kind


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that runs the C on layouts."""
    folder = tmp_path_factory.mktemp("i386")
    for name, text in (render.runtime(I386, folder) | {"host.c": HOST}).items():
        (folder / name).write_text(text)
    where = (f"-DLOW={LOW}", f"-DSIZE={SIZE}")
    sources = (folder / "host.c", folder / "fixup.c")
    tool("gcc", *FLAGS, *where, "-nostdlib", "-static", "-e", "start", *sources, "-o", folder / "host")
    return folder / "host"


def agree(program: Path, layouts: list[Layout]) -> list[tuple[Status, Layout]]:
    """What C and the reference make of layouts, which must be the same; after an error, nothing."""
    packed, answers = program.with_suffix(".in"), program.with_suffix(".out")
    with packed.open("wb") as file:
        for layout in layouts:
            ((_, content),) = layout.regions
            file.write(struct.pack("<4I", layout.at, layout.backend, layout.start, layout.end) + content)
    tool("sh", "-c", f"exec '{program}' <'{packed}' >'{answers}'")
    said, results = answers.read_bytes(), []
    assert len(said) == len(layouts) * (8 + SIZE)
    for place, layout in enumerate(layouts):
        answer = said[place * (8 + SIZE) :][: 8 + SIZE]
        number, entry = struct.unpack_from("<2I", answer)
        status, after = layout.fixed()
        assert Status(list(ERRORS)[number], entry) == status
        assert answer[8:] == after.regions[0][1]
        assert status.error == "ok" or after.regions == layout.regions
        results.append((status, after))
    return results


def test_c_does_what_the_reference_does(program: Path) -> None:
    layouts = [from_seed(random.Random(seed), (LOW,), I386) for seed in range(COUNT)]
    seen = Counter(status.error for status, _ in agree(program, layouts))
    assert seen["ok"] > COUNT // 2, seen


def test_c_refuses_what_the_reference_refuses(program: Path) -> None:
    rng = random.Random(1)
    layouts = [corrupted(rng, from_seed(rng, (LOW,), I386)) for _ in range(3 * COUNT)]
    seen = Counter(status.error for status, _ in agree(program, layouts))
    assert all(seen[error] for error in ERRORS if error not in ("no_function", "out_of_range", "split")), seen


TEXT, SITE, SLOT, INLINE, DEFAULT = LOW + 0x400, LOW + 0x410, LOW + 0x620, LOW + 0x300, LOW + 0x480
WAYS = {
    "inline": Way(INLINE, b"\xfa"),
    "long": Way(INLINE, bytes(range(12))),
    "nothing": Way(INLINE, b""),
    "default": Way(),
}


def one_site(form: str, way: Way) -> Layout:
    sections = ((TEXT, 0x100), (LOW + 0x600, 0x100))
    ops, sites = [Op((0, 0x80), (1, 0x20))], [Site(0, 0x10, form, 0)]
    return lay_out([(LOW, b"\xcc" * SIZE)], LOW, LOW + 0x200, sections, ops, sites, [way], arch=I386)


def to(opcode: str, target: int) -> bytes:
    code = bytes.fromhex(opcode)
    return code + ((target - SITE - len(code) - 4) & 0xFFFFFFFF).to_bytes(4, "little")


def absolute(target: int) -> bytes:
    return target.to_bytes(4, "little")


@pytest.mark.parametrize(
    ("form", "way", "becomes"),
    [
        ("call", "inline", bytes.fromhex("fa 8d742600")),
        ("call", "long", to("e8", INLINE)),
        ("call", "nothing", bytes.fromhex("3e8d742600")),
        ("call", "default", to("e8", DEFAULT)),
        ("call *abs32", "inline", bytes.fromhex("fa 3e8d742600")),
        ("call *abs32", "default", to("e8", DEFAULT) + b"\x90"),
        ("call *abs32", "nothing", bytes.fromhex("8db600000000")),
        ("jmp *abs32", "inline", bytes.fromhex("fa c3 8d742600")),
        ("jmp", "nothing", bytes.fromhex("c3 8d742600")),
        ("jcc", "inline", to("0f80", INLINE)),
        ("mov imm32, r32", "inline", b"\xb8" + absolute(INLINE)),
        ("pointer", "inline", absolute(INLINE)),
    ],
)
def test_a_site_becomes(program: Path, form: str, way: str, becomes: bytes) -> None:
    ((status, after),) = agree(program, [one_site(form, WAYS[way])])
    assert status == Status("ok", 0)
    assert after.read(SITE, len(becomes)) == becomes
    assert after.read(SITE + len(becomes), 1) == b"\xcc"


def test_addresses_wrap_at_four_gigabytes(program: Path) -> None:
    """A section below the table has a base that is negative as a word."""
    layout = one_site("call", WAYS["default"])
    moved = layout.changed(LOW + 0x800, layout.table.encode())
    bases = (layout.table.bases - 0x800).astype("<i4")
    ((status, _),) = agree(program, [replace(moved, at=LOW + 0x800).with_table(replace(layout.table, bases=bases))])
    assert status == Status("ok", 0)
