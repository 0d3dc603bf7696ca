"""The fixup on aarch64 and riscv64, against the reference, byte for byte: the C, compiled for each and run by QEMU, and
the Rust, compiled for this machine, which needs the same sizes and byte order of it."""

import random
import re
import struct
from collections import Counter
from functools import cache
from itertools import groupby
from pathlib import Path

import pytest

from buildplug.arch import aarch64, riscv
from buildplug.arch.model import Arch
from buildplug.config.rule import find
from buildplug.runtime.memory import Status
from buildplug.stage import render
from buildplug.tables.sites_format import ERRORS
from tests import aarch64_code, riscv_code
from tests.conftest import tool
from tests.layouts import LOW, SITES, SIZE, Layout, Op, Site, Way, corrupted, from_seed, lay_out
from tests.runtime.conftest import OPS
from tests.runtime.fixup_host import HOST
from tests.runtime.rust import CHECKED

COUNT = 600  # layouts of each kind
ARCHES = {arch.name: arch for arch in (aarch64.AARCH64, riscv.RISCV64)}
FAR = {"aarch64": LOW + (1 << 27), "riscv64": LOW + (1 << 20)}  # just out of reach of bl and jal from LOW
CODE = {"aarch64": aarch64_code, "riscv64": riscv_code}


@cache
def program(name: str, folder: Path) -> Path:
    """A program that runs the C on layouts, in a folder of its own."""
    arch, code, own = ARCHES[name], CODE[name], folder / name
    own.mkdir()
    for file, text in (render.runtime(arch, own) | {"host.c": '#include "buildplug.h"\n' + code.CALL + HOST}).items():
        (own / file).write_text(text)
    where = (f"-DLOW={LOW}", f"-DFAR={FAR[name]}", f"-DSIZE={SIZE}")
    for part in ("host", "fixup"):
        tool("clang", *code.FLAGS, *where, "-c", own / f"{part}.c", "-o", own / f"{part}.o")
    tool(f"{arch.target}-ld", "-e", "start", own / "host.o", own / "fixup.o", "-o", own / "host")
    return own / "host"


@cache
def rust_program(name: str, folder: Path) -> Path:
    """The same of the Rust."""
    own = folder / name
    own.mkdir()
    for file, text in render.rust(ARCHES[name], find("paravirt", own), own, OPS).items():
        (own / file).write_text(text.partition("core::arch::global_asm!")[0])  # backends are in the other's assembly
    places = {"LOW": LOW, "FAR": FAR[name], "SIZE": SIZE}
    (own / "places.rs").write_text("".join(f"pub const {n}: usize = {value};\n" for n, value in places.items()))
    (own / "host.rs").write_text(Path(__file__).with_name("fixup_words_host.rs").read_text())
    tool("rustc", *CHECKED, "host.rs", "-o", "host", cwd=own)
    return own / "host"


PROGRAMS = {"c": program, "rust": rust_program}
RUNNERS = {"c": "qemu-{}", "rust": ""}


@pytest.fixture(scope="module", params=PROGRAMS)
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder for programs, named after their language."""
    made = tmp_path_factory.mktemp("fixup") / str(request.param)
    made.mkdir()
    return made


@pytest.fixture(params=ARCHES.values(), ids=list(ARCHES))
def arch(request: pytest.FixtureRequest) -> Arch:
    found: Arch = request.param
    return found


Task = tuple[Layout, int, int]  # with the backends of before and after


def agree(folder: Path, tasks: list[Task]) -> list[tuple[Status, Layout]]:
    """What C and the reference make of layouts, which must be the same; after an error, nothing."""
    arch = tasks[0][0].table.arch
    host, runner = PROGRAMS[folder.name](arch.name, folder), RUNNERS[folder.name].format(arch.name)
    packed, answers = host.with_suffix(".in"), host.with_suffix(".out")
    with packed.open("wb") as file:
        for layout, before, after in tasks:
            contents = [*(content for _, content in layout.regions), bytes(SIZE)][:2]
            file.write(struct.pack("<5Q", layout.at, before, after, layout.start, layout.end) + b"".join(contents))
    tool("sh", "-c", f"exec {runner} '{host}' <'{packed}' >'{answers}'")
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


def layouts(arch: Arch, count: int, seed: int = 0) -> list[Layout]:
    regions = ((LOW,), (LOW, FAR[arch.name]))
    return [from_seed(random.Random(f"{seed} {n}"), regions[n % 4 == 0], arch) for n in range(count)]


def test_it_does_what_the_reference_does(folder: Path, arch: Arch) -> None:
    made = layouts(arch, COUNT)
    results = agree(folder, [(layout, 0, layout.backend) for layout in made])
    seen = Counter(status.error for status, _ in results)
    assert seen["ok"] > COUNT // 2, seen
    assert seen["out_of_range"], seen
    back = [(after, layout.backend, 0) for layout, (status, after) in zip(made, results, strict=True) if not status[1]]
    restored = agree(folder, back)
    assert sum(status.error == "ok" for status, _ in restored) > COUNT // 2


def test_it_refuses_what_the_reference_refuses(folder: Path, arch: Arch) -> None:
    rng = random.Random(1)
    made = [corrupted(rng, layout) for layout in layouts(arch, 3 * COUNT, 1)]
    seen = Counter(status.error for status, _ in agree(folder, [(layout, 0, layout.backend) for layout in made]))
    assert all(seen[error] for error in ERRORS if error not in ("no_function", "split")), seen


TEXT, SITE, INLINE, DEFAULT = LOW + 0x400, LOW + 0x410, LOW + 0x300, LOW + 0x480
# An instruction of 4 bytes, a return, a nop.
WORDS = {
    "aarch64": (bytes.fromhex("df4203d5"), aarch64.AARCH64.ret, aarch64.NOP),
    "riscv64": (bytes.fromhex("73700110"), riscv.RISCV64.ret, riscv.NOP),
}  # fmt: skip
WAYS = {"one": 1, "two": 2, "long": 5, "nothing": 0, "default": None}


def one_site(arch: Arch, form: str, way: Way, offset: int = 0x10) -> Layout:
    sections = ((TEXT, 0x100), (LOW + 0x600, 0x100))
    ops, sites = [Op((0, 0x80), (1, 0x20))], [Site(0, offset, form, 0)]
    return lay_out([(LOW, b"\xcc" * SIZE)], LOW, LOW + 0x200, sections, ops, sites, [way], arch=arch)


def to(arch: Arch, name: str, target: int) -> bytes:
    return SITES[arch.name](next(f for f in arch.forms if f.name == name), SITE, target, bytes(8)) or b""


# The form of a direct call or jump there, with the backend's code or the default; the inline code, so many times; and
# a return, or nops.
BECOMES = [
    ("aarch64", "bl", "one", "one"),
    ("aarch64", "bl", "two", "bl"),
    ("aarch64", "bl", "nothing", "nop"),
    ("aarch64", "bl", "default", "bl default"),
    ("aarch64", "bl in 8", "one", "one nop"),
    ("aarch64", "bl in 8", "two", "one one"),
    ("aarch64", "bl in 16", "long", "bl nop nop nop"),
    ("aarch64", "b", "one", "b"),
    ("aarch64", "b", "nothing", "ret"),
    ("aarch64", "b.cond", "one", "b.cond"),
    ("aarch64", "slot call", "two", "one one nop"),
    ("aarch64", "slot call", "default", "bl default nop nop"),
    ("aarch64", "slot jump", "one", "one ret nop"),
    ("aarch64", "adrp", "one", "adrp"),
    ("aarch64", "add_lo12", "one", "add_lo12"),
    ("aarch64", "pointer", "one", "pointer"),
    ("riscv64", "call", "one", "one nop"),
    ("riscv64", "call", "two", "one one"),
    ("riscv64", "call", "long", "call"),
    ("riscv64", "call", "nothing", "nop nop"),
    ("riscv64", "call", "default", "call default"),
    ("riscv64", "call in 16", "long", "call nop nop"),
    ("riscv64", "call in 12", "two", "one one nop"),
    ("riscv64", "jal", "one", "one"),
    ("riscv64", "jal", "two", "jal"),
    ("riscv64", "tail_t1", "one", "one ret"),
    ("riscv64", "tail_t1", "two", "tail_t1"),
    ("riscv64", "tail_t2", "nothing", "ret nop"),
    ("riscv64", "j", "nothing", "ret"),
    ("riscv64", "j", "one", "j"),
    ("riscv64", "c.j", "nothing", "c.ret"),
    ("riscv64", "c.j", "one", "c.j"),
    ("riscv64", "branch", "one", "branch"),
    ("riscv64", "slot call", "two", "one one nop"),
    ("riscv64", "slot call", "default", "call default nop"),
    ("riscv64", "auipc_addi", "one", "auipc_addi"),
    ("riscv64", "pointer", "one", "pointer"),
]


@pytest.mark.parametrize(("name", "form", "way", "becomes"), BECOMES)
def test_a_site_becomes(folder: Path, name: str, form: str, way: str, becomes: str) -> None:
    arch, (one, ret, nop) = ARCHES[name], WORDS[name]
    count = WAYS[way]
    layout = one_site(arch, form.replace("_", " "), Way() if count is None else Way(INLINE, one * count))
    ((status, after),) = agree(folder, [(layout, 0, layout.backend)])
    assert status == Status("ok", 0)
    known = {"one": one, "ret": ret, "c.ret": bytes.fromhex("8280"), "nop": nop, "default": b""}
    target = DEFAULT if count is None else INLINE
    expected = b"".join(known[w] if w in known else to(arch, w.replace("_", " "), target) for w in becomes.split())
    assert after.read(SITE, len(expected)) == expected
    assert after.read(SITE + len(expected), 1) == b"\xcc"


def test_compressed_inline_code_is_padded_by_a_compressed_nop(folder: Path) -> None:
    layout = one_site(riscv.RISCV64, "call", Way(INLINE, bytes.fromhex("0545")), 0x12)  # c.li a0, 1
    ((status, after),) = agree(folder, [(layout, 0, layout.backend)])
    assert status == Status("ok", 0)
    assert after.read(SITE + 2, 8) == bytes.fromhex("0545") + riscv.NOP + riscv.C_NOP


@pytest.mark.parametrize(("form", "offset"), [("bl", 0x12), ("call", 0x11)])
def test_a_site_that_is_not_aligned_is_refused(folder: Path, form: str, offset: int) -> None:
    arch = ARCHES["aarch64" if form == "bl" else "riscv64"]
    layout = one_site(arch, form, Way(INLINE, WORDS[arch.name][0]), offset)
    assert [status for status, _ in agree(folder, [(layout, 0, layout.backend)])] == [Status("bad_site", 0)]


ORDER = {
    "aarch64": (r"dc\tcvau|ic\tivau|dsb\tish|isb", ["dc cvau", "dsb ish", "ic ivau", "dsb ish", "isb"]),
    "riscv64": (r"fence\.i|fence", ["fence.i"]),
}


@pytest.mark.parametrize("folder", ["c"], indirect=True)
def test_caches_are_maintained_in_the_order_of_the_manual(folder: Path, arch: Arch) -> None:
    """QEMU has no caches, so the compiled code is read: in each function as many of each, in this order."""
    pattern, order = ORDER[arch.name]
    text = tool(f"{arch.target}-objdump", "-d", "--no-show-raw-insn", program(arch.name, folder).parent / "fixup.o")
    # what objdump 2.44 calls it in an object for a machine without Zifencei, as clang 19 makes it of rv64gc
    text = re.sub(r"\.insn\t4, 0x0*100f\b", "fence.i", text)
    functions = re.split(r"^[0-9a-f]+ <([\w.]+)>:$", text, flags=re.M)
    used = {
        name: re.findall(rf"\t({pattern})\b", code) for name, code in zip(functions[1::2], functions[2::2], strict=True)
    }
    found = [[name.replace("\t", " ") for name, _ in groupby(names)] for names in used.values() if names]
    assert found == [order]
