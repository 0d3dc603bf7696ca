"""The fixup on aarch64: the C, compiled for it and run by QEMU, against the reference, byte for byte."""

import random
import re
import struct
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from buildplug.arch.aarch64 import AARCH64, NOP
from buildplug.runtime.memory import Status
from buildplug.stage import render
from buildplug.tables.sites_format import ERRORS
from tests.aarch64_code import FLAGS, HOST, site
from tests.conftest import tool
from tests.layouts import LOW, SIZE, Layout, Op, Site, Way, corrupted, from_seed, lay_out

COUNT = 600  # layouts of each kind
FAR = LOW + (1 << 27)  # just out of reach of bl from LOW
REGIONS = ((LOW,), (LOW, FAR))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that runs the C on layouts."""
    folder = tmp_path_factory.mktemp("aarch64")
    for name, text in (render.runtime(AARCH64, folder) | {"host.c": HOST}).items():
        (folder / name).write_text(text)
    where = (f"-DLOW={LOW}", f"-DFAR={FAR}", f"-DSIZE={SIZE}")
    for name in ("host", "fixup"):
        tool("clang", *FLAGS, *where, "-c", folder / f"{name}.c", "-o", folder / f"{name}.o")
    objects = (folder / "host.o", folder / "fixup.o")
    tool("aarch64-linux-gnu-ld", "-e", "start", *objects, "-o", folder / "host")
    return folder / "host"


Task = tuple[Layout, int, int]  # with the backends of before and after


def agree(program: Path, tasks: list[Task]) -> list[tuple[Status, Layout]]:
    """What C and the reference make of layouts, which must be the same; after an error, nothing."""
    packed, answers = program.with_suffix(".in"), program.with_suffix(".out")
    with packed.open("wb") as file:
        for layout, before, after in tasks:
            contents = [*(content for _, content in layout.regions), bytes(SIZE)][:2]
            file.write(struct.pack("<5Q", layout.at, before, after, layout.start, layout.end) + b"".join(contents))
    tool("sh", "-c", f"exec qemu-aarch64 '{program}' <'{packed}' >'{answers}'")
    said, results, length = answers.read_bytes(), [], 8 + 2 * SIZE
    assert len(said) == len(tasks) * length
    for place, (layout, before, after) in enumerate(tasks):
        answer = said[place * length :][:length]
        number, entry = struct.unpack_from("<2I", answer)
        status, fixed = layout.switched(before, after)
        assert Status(list(ERRORS)[number], entry) == status
        assert answer[8:].startswith(b"".join(content for _, content in fixed.regions))
        assert status.error == "ok" or fixed.regions == layout.regions
        results.append((status, fixed))
    return results


def layouts(count: int, seed: int = 0) -> list[Layout]:
    return [from_seed(random.Random(f"{seed} {n}"), REGIONS[n % 4 == 0], AARCH64) for n in range(count)]


def test_c_does_what_the_reference_does(program: Path) -> None:
    made = layouts(COUNT)
    results = agree(program, [(layout, 0, layout.backend) for layout in made])
    seen = Counter(status.error for status, _ in results)
    assert seen["ok"] > COUNT // 2, seen
    assert seen["out_of_range"], seen
    back = [(after, layout.backend, 0) for layout, (status, after) in zip(made, results, strict=True) if not status[1]]
    restored = agree(program, back)
    assert sum(status.error == "ok" for status, _ in restored) > COUNT // 2


def test_c_refuses_what_the_reference_refuses(program: Path) -> None:
    rng = random.Random(1)
    made = [corrupted(rng, layout) for layout in layouts(3 * COUNT, 1)]
    seen = Counter(status.error for status, _ in agree(program, [(layout, 0, layout.backend) for layout in made]))
    assert all(seen[error] for error in ERRORS if error != "no_function"), seen


TEXT, SITE, SLOT, INLINE, DEFAULT = LOW + 0x400, LOW + 0x410, LOW + 0x620, LOW + 0x300, LOW + 0x480
MSR, RET = bytes.fromhex("df4203d5"), bytes.fromhex("c0035fd6")
WAYS = {
    "inline": Way(INLINE, MSR), "two": Way(INLINE, MSR * 2), "long": Way(INLINE, MSR * 5), "nothing": Way(INLINE, b""),
    "default": Way(),
}  # fmt: skip


def one_site(form: str, way: Way, offset: int = 0x10) -> Layout:
    sections = ((TEXT, 0x100), (LOW + 0x600, 0x100))
    ops, sites = [Op((0, 0x80), (1, 0x20))], [Site(0, offset, form, 0)]
    return lay_out([(LOW, b"\xcc" * SIZE)], LOW, LOW + 0x200, sections, ops, sites, [way], arch=AARCH64)


def to(name: str, target: int) -> bytes:
    return site(next(f for f in AARCH64.forms if f.name == name), SITE, target, bytes(8)) or b""


@pytest.mark.parametrize(
    ("form", "way", "becomes"),
    [
        ("bl", "inline", MSR),
        ("bl", "two", to("bl", INLINE)),
        ("bl", "nothing", NOP),
        ("bl", "default", to("bl", DEFAULT)),
        ("bl in 8", "inline", MSR + NOP),
        ("bl in 8", "two", MSR * 2),
        ("bl in 16", "long", to("bl", INLINE) + NOP * 3),
        ("b", "inline", to("b", INLINE)),
        ("b", "nothing", RET),
        ("b.cond", "inline", to("b.cond", INLINE)),
        ("slot call", "two", MSR * 2 + NOP),
        ("slot call", "default", to("bl", DEFAULT) + NOP * 2),
        ("slot jump", "inline", MSR + RET + NOP),
        ("adrp", "inline", to("adrp", INLINE)),
        ("add lo12", "inline", to("add lo12", INLINE)),
        ("pointer", "inline", INLINE.to_bytes(8, "little")),
    ],
)
def test_a_site_becomes(program: Path, form: str, way: str, becomes: bytes) -> None:
    layout = one_site(form, WAYS[way])
    ((status, after),) = agree(program, [(layout, 0, layout.backend)])
    assert status == Status("ok", 0)
    assert after.read(SITE, len(becomes)) == becomes
    assert after.read(SITE + len(becomes), 1) == b"\xcc"


def test_a_site_that_is_not_aligned_is_refused(program: Path) -> None:
    layout = one_site("bl", WAYS["inline"], 0x12)
    assert [status for status, _ in agree(program, [(layout, 0, layout.backend)])] == [Status("bad_site", 0)]


def test_caches_are_maintained_in_the_order_of_the_manual(program: Path) -> None:
    """QEMU has no caches, so the compiled code is read: in each function as many of each, in this order."""
    text = tool("aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", program.parent / "fixup.o")
    functions = re.split(r"^[0-9a-f]+ <(\w+)>:$", text, flags=re.M)
    used = {
        name: re.findall(r"\t(dc\tcvau|ic\tivau|dsb\tish|isb)\b", code)
        for name, code in zip(functions[1::2], functions[2::2], strict=True)
    }
    found = [[name.replace("\t", " ") for name, _ in groupby(names)] for names in used.values() if names]
    assert found == [["dc cvau", "dsb ish", "ic ivau", "dsb ish", "isb"]]
