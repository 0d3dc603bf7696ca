"""The table of symbols in an image and the command that reads symbols, against nm and against the booted kernel."""

import json
import re
import subprocess
from bisect import bisect_right
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from buildplug.arch.x86 import X86_64
from buildplug.base.data import rules
from buildplug.config.rule import find, find_shipped
from buildplug.image.elf import Image
from buildplug.image.headers import STT_FILE, STT_SECTION
from buildplug.runtime import ksyms as runtime_ksyms
from buildplug.tables.ksyms import collected
from buildplug.tables.ksyms_codec import decode, encode
from sample_kernel.boot import boot
from tests import ksyms_host
from tests.conftest import Written, tool
from tests.elfwriter import ABS, ALLOC, EXEC, FUNC, File, Section, Symbol
from tests.ksyms_host import Host, Question, answer
from tests.samples import buildplug, built, copy_sample, edit, one_line

STAYS = (".data..percpu", "*ABS*")  # sections that do not move with the kernel
TABLES = "|".join(rule.symbol for rule in find_shipped())
LEFT_OUT = re.compile(
    rf"\.L|__bp_\w+_section_\d|({TABLES})(_end)?$"
)  # by the rule: local labels, and what buildplug made
NOTHING = re.compile(r"(?!)")
ALL = """
name = "all"
about = "every symbol"
[select]
rows = "symbols"
functions = ["*"]
objects = ["*"]
untyped = true
fixed = { ".data..percpu" = "" }
absolute = true
skip = []
[table]
format = "ksyms"
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_sample(tmp_path_factory.mktemp("ksyms") / "kernel")
    assert "ksyms" in built(folder)["tables"]
    return folder / "build" / "vmlinux"


def nm(path: Path, left_out: re.Pattern[str]) -> list[tuple[int, str, str]]:
    """(address, type, name) of nm -n."""
    listed = subprocess.run(["nm", "-n", path], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines() if line[0] != " "]
    return sorted((int(a, 16), t, n) for a, t, n in rows if not left_out.match(n))


class Listed(NamedTuple):
    """A symbol that nm lists; the section is the one that its address lies in or behind."""

    section: str
    value: int
    size: int
    type: str
    name: str


def all_of(path: Path) -> tuple[list[Listed], dict[str, tuple[int, int]]]:
    """The symbols that nm lists, in the order of lookups; the sections: name -> start and end, by pyelftools."""
    with path.open("rb") as file:
        headers = [(s.name, s["sh_addr"], s["sh_size"]) for s in ELFFile(file).iter_sections() if s["sh_flags"] & 2]
    sections = {name: (start, start + size) for name, start, size in headers}
    rows = []
    for line in subprocess.run(["nm", "-fsysv", path], capture_output=True, text=True, check=True).stdout.splitlines():
        if line.count("|") == 6 and not line.startswith("Name "):
            name, value, kind, _, size, _, section = (word.strip() for word in line.split("|"))
            address = int(value, 16)
            start, end = sections.get(section, (address, address))
            if not start <= address <= end:
                section = max((start, name) for name, (start, _) in sections.items() if start <= address)[1]
            rows.append(Listed(section, address, int(size or "0", 16), kind, name))
    return sorted(rows, key=lambda row: (row.section, row.value, row.size, row.name, row.type)), sections


def compare_with_nm(path: Path, data: bytes, linked_at: int, folder: Path, left_out: re.Pattern[str]) -> None:
    """Looks up every symbol of nm both ways in a table, in C and in Python."""
    rows, sections = all_of(path)
    rows = [row for row in rows if not left_out.match(row.name)]
    with Host(ksyms_host.write(folder)) as host:
        here, error = host.check(data)
        assert error == "ok"

        def moved(row: Listed) -> int:
            """Its address in memory, if the table that was linked at `linked_at` stands at `here`."""
            return (row.value + (0 if row.section in STAYS else here - linked_at)) % 2**64

        questions: list[Question] = []
        expected: list[object] = []
        for section, (start, end) in sections.items():
            inside = [row for row in rows if row.section == section]
            places = [row.value for row in inside]
            for row in inside:
                for kind, address in ("f", row.value), ("p", row.value + max(row.size - 1, 0)):
                    if start <= address < end:
                        found = inside[bisect_right(places, address) - 1]
                        offset = address - found.value
                        questions.append((kind, moved(found) + offset, 4096))
                        if kind == "f":
                            expected.append([(moved(found), found.size, found.type, found.name)])
                        else:
                            expected.append(f"{found.name}+{offset:#x}/{found.size:#x}")
        by_name: dict[str, list[Listed]] = {}
        for row in rows:
            by_name.setdefault(row.name, []).append(row)
        for name, several in by_name.items():
            questions.append(("l", name.encode(), 0))
            expected.append(sorted((moved(row), row.size, row.type, name) for row in several))
        table = decode(data, X86_64, path)
        assert len(table.rows) == len(rows)
        answers = [answer(table, here, question) for question in questions]
        assert host.ask(questions) == answers
        assert [read(*pair) for pair in zip(questions, answers, strict=True)] == expected


def read(question: Question, said: str) -> object:
    """What an answer says: a text, or the symbols that it has."""
    kind, asked, _ = question
    words = said.split()
    if kind == "p":
        return bytes.fromhex(words[1]).decode()
    found = []
    while words:
        _, address, size, letter, length, *words = words
        name = asked if isinstance(asked, bytes) else bytes.fromhex(words.pop(0))
        assert len(name) == int(length, 16)
        found.append((int(address, 16), int(size, 16), chr(int(letter, 16)), name.decode()))
    return sorted(found)


def test_every_symbol_of_nm_is_found_both_ways(kernel: Path, tmp_path: Path) -> None:
    image = Image(kernel)
    section = image.section(".bp_ksyms")
    data = image.bytes_of(section).tobytes()
    compare_with_nm(kernel, data, section.address, tmp_path, LEFT_OUT)


@pytest.mark.linux
def test_every_symbol_of_linux_is_found_both_ways(vmlinux: Path, tmp_path: Path) -> None:
    (tmp_path / "all.toml").write_text(ALL)
    table = collected(Image(vmlinux), find("all.toml", tmp_path), 0)
    compare_with_nm(vmlinux, encode(table), 0, tmp_path, NOTHING)


def test_table_in_the_image_has_every_symbol_of_nm(kernel: Path) -> None:
    image = Image(kernel)
    section = image.section(".bp_ksyms")
    table = decode(image.bytes_of(section).tobytes(), image.arch, kernel)
    symbols = [runtime_ksyms.symbol(table, section.address, index) for index in range(len(table.rows))]
    found = sorted((s.address, s.type, s.name.decode()) for s in symbols)
    assert found == nm(kernel, LEFT_OUT)


@pytest.mark.linux
def test_listing_of_linux_is_that_of_nm(vmlinux: Path, tmp_path: Path) -> None:
    (tmp_path / "all.toml").write_text(ALL)
    listed = buildplug("ksyms", vmlinux, "--rule", tmp_path / "all.toml", "--format", "system-map").stdout
    found = sorted((int(a, 16), t, n) for a, t, n in (line.split(maxsplit=2) for line in listed.splitlines()))
    expected = nm(vmlinux, NOTHING)
    assert len(found) > 40000
    assert found == expected


@pytest.mark.parametrize(
    ("arguments", "head"), [("crash", "panic: crash asked for"), ("crash=trap", "panic: unexpected exception")]
)
def test_crash_prints_who_called_whom(kernel: Path, arguments: str, head: str) -> None:
    status, said = boot(kernel, arguments)
    assert status == 35
    lines = said.splitlines()
    trace = lines[lines.index(head) + 1 :]
    assert [line.split("+")[0].strip() for line in trace] == [
        "backtrace:", "crash_here", "crash", "kernel_main", "high_half",
    ]  # fmt: skip


def test_backtrace_of_the_draft_has_addresses(kernel: Path) -> None:
    _, said = boot(kernel.with_suffix(".draft"), "crash")
    trace = said.splitlines()[said.splitlines().index("backtrace:") + 1 :]
    assert all(line.startswith("  0xffffffff801") for line in trace)


def test_address_and_name_are_looked_up(kernel: Path) -> None:
    image = Image(kernel)
    row = image.symbol("panic")
    done = buildplug("ksyms", kernel, hex(int(row["value"]) + 5), "panic")
    assert done.stdout.splitlines() == [f"panic+0x5/{int(row['size']):#x}", f"{int(row['value']):#x} T"]


def test_json_has_every_symbol_with_its_size(kernel: Path) -> None:
    listed = json.loads(buildplug("ksyms", kernel, "--format", "json").stdout)
    image = Image(kernel)
    real = ~np.isin(image.symbols["type"], (STT_SECTION, STT_FILE))
    sizes = {
        (image.names[i], int(image.symbols["value"][i]), int(image.symbols["size"][i])) for i in np.flatnonzero(real)
    }
    assert {(symbol["name"], symbol["address"], symbol["size"]) for symbol in listed} <= sizes
    assert sorted((symbol["address"], symbol["type"], symbol["name"]) for symbol in listed) == nm(kernel, LEFT_OUT)


def test_listing_as_nm_has_the_lines_of_nm(kernel: Path) -> None:
    listed = buildplug("ksyms", kernel, "--format", "nm").stdout.splitlines()
    assert len(listed) == len(nm(kernel, LEFT_OUT))
    assert set(listed) <= set(tool("nm", kernel).splitlines())


def test_name_that_is_missing_is_one_line(kernel: Path) -> None:
    failed = buildplug("ksyms", kernel, "no_such_name")
    assert failed.returncode == 1
    assert "expected a symbol no_such_name, found none" in one_line(failed.stderr)


def test_verify_notices_a_changed_symbol(kernel: Path, tmp_path: Path) -> None:
    section = Image(kernel).section(".bp_ksyms")
    data = bytearray(kernel.read_bytes())
    data[section.offset + section.size - 100] ^= 1
    (tmp_path / "spoilt").write_bytes(data)
    failed = buildplug("verify", kernel.with_suffix(".draft"), tmp_path / "spoilt")
    assert failed.returncode == 1
    assert "table bp_ksyms" in one_line(failed.stderr)


def test_table_without_names_is_smaller(tmp_path: Path, kernel: Path) -> None:
    folder = copy_sample(tmp_path / "kernel")
    rule = rules()["ksyms"].read_text()
    (folder / "one-way.toml").write_text(rule.replace('format = "ksyms"', 'format = "ksyms"\nby_name = false'))
    edit(folder / "buildplug.toml", ('rule = "ksyms"', 'rule = "one-way.toml"'))
    built(folder)
    sizes = [Image(path).section(".bp_ksyms").size for path in (folder / "build" / "vmlinux", kernel)]
    assert sizes[0] < sizes[1]


def an_image(*symbols: Symbol) -> File:
    """An image with one section of 16 bytes at 0x1000 and these symbols."""
    return File([Section(".text", bytes(16), 0x1000, ALLOC | EXEC)], symbols)


def test_a_symbol_before_all_sections_is_absolute(written: Written) -> None:
    image = Image(written(an_image(Symbol("early", 0x800), Symbol("start", 0x1000))))
    table = collected(image, find("ksyms", Path.cwd()), 0)
    names = [table.section_names[section] for section in table.rows["section"].tolist()]
    assert sorted(names) == ["*ABS*", ".text"]


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        ([], r"rule ksyms: expected symbols \*, \*, found none; check the rule's names"),
        (None, r"rule ksyms: expected symbols \*, \*, found none; check the rule's names"),
        (
            [Symbol("far", 0x1000 + (1 << 32))],
            "rule ksyms: symbol far: expected an offset below 4 GiB in its section, found .*; exclude it in the rule",
        ),
        (
            [Symbol("large", 0x1000, 1 << 32)],
            "rule ksyms: symbol large: expected a size below 4 GiB, found .*; exclude it in the rule",
        ),
        (
            [Symbol("x" * 4096, 0x1000)],
            "rule ksyms: symbol x{80}: expected a name of at most 4095 bytes, found .*; exclude it in the rule",
        ),
    ],
)
def test_bad_symbols_are_one_line(written: Written, symbols: list[Symbol] | None, message: str) -> None:
    failed = buildplug("ksyms", written(replace(an_image(), symbols=symbols)))
    assert failed.returncode == 1
    assert re.search(message + "$", one_line(failed.stderr))


def test_absolute_symbols_are_found_by_name_and_never_by_address(written: Written, tmp_path: Path) -> None:
    values = {"small": 5, "code": 0x1000, "large": 0x123456789ABCDEF0}
    constants = [Symbol(name, value, section=ABS) for name, value in values.items()]
    path = written(an_image(Symbol("f", 0x1000, 16, FUNC), *constants))
    found = buildplug("ksyms", path, *values, "0x5", "0x1004").stdout.splitlines()
    assert found == [*(f"{value:#x} A" for value in values.values()), "0x5", "f+0x4/0x10"]
    compare_with_nm(path, encode(collected(Image(path), find("ksyms", tmp_path), 0)), 0, tmp_path, NOTHING)


def test_a_name_of_any_bytes_is_found(written: Written) -> None:
    path = written(an_image(Symbol("f\udcff\udc80\n", 0x1000, 16, FUNC)))
    assert buildplug("ksyms", path, "f\udcff\udc80\n").stdout == "0x1000 T\n"
    missing = buildplug("ksyms", path, "\udcff")
    assert "expected a symbol \\udcff, found none" in one_line(missing.stderr)


@pytest.mark.parametrize("query", ["0x", "0xg", "0x-1"])
def test_what_is_no_address_is_wrong_usage(written: Written, query: str) -> None:
    failed = buildplug("ksyms", written(an_image(Symbol("f", 0x1000))), query)
    assert (failed.returncode, failed.stdout) == (2, "")
    assert f"expected an address, found '{query}'" in one_line(failed.stderr)
