"""Tables of symbols on machines of which nothing else is known: their C under QEMU against Python, and what is linked
against each machine's own nm."""

import random
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.stage.proof import table_bytes
from buildplug.tables.ksyms_codec import decode, encode, inspect
from tests.conftest import tool
from tests.ksyms_host import Host, Question, answer
from tests.machines import BY_NAME, MACHINES, Machine, program, project_with_tables
from tests.samples import buildplug, built, one_line
from tests.tables.ksyms_tables import a_table, questions
from tests.tables.test_ksyms_damaged import flipped, forged
from tests.tables.test_ksyms_format import compare

LINKED = [(machine.name, linker) for machine in MACHINES for linker in machine.linkers]


@pytest.fixture(scope="module", params=BY_NAME)
def machine(request: pytest.FixtureRequest) -> Machine:
    return BY_NAME[request.param]


@pytest.fixture(scope="module")
def host(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp(machine.name)
    with Host(folder, (machine.qemu, program(machine, folder)), machine.arch.byteorder) as running:
        yield running


class Kernel:
    """A linked program with tables, and what the machine's own nm says of it: (address, size, letter, name) each."""

    def __init__(self, machine: Machine, path: Path):
        self.machine, self.path, self.image = machine, path, Image(path)
        nm = f"{machine.binutils}-nm" if machine.binutils else "nm"
        listed = tool(nm, "-n", "-fposix", path).splitlines()
        rows = [line.split() for line in listed]
        self.rows = [(int(a, 16), int((*size, "0")[0], 16), t, name) for name, t, a, *size in rows]

    @property
    def own(self) -> list[tuple[int, int, str, str]]:
        """Without what the rule leaves out."""
        left_out = re.compile(
            r"\$([adtx](\.|$)|xrv)|\.L|__bp_\w+_section_\d|bp_(ksyms|own|functions)(_end)?$|__ehdr_start|__executable_start"
        )
        return [row for row in self.rows if not left_out.match(row[3])]

    def bytes_of(self, rule: str) -> bytes:
        return table_bytes(self.image, find(rule, self.path.parent.parent))[1]


@pytest.fixture(scope="module", params=LINKED, ids="-".join)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    name, linker = request.param
    folder = project_with_tables(BY_NAME[name], tmp_path_factory.mktemp(name), linker)
    assert set(built(folder)["tables"]) == {"ksyms", "own", "functions"}
    return Kernel(BY_NAME[name], folder / "build" / "vmlinux")


@pytest.mark.parametrize("seed", range(8))
def test_c_answers_as_python_does(machine: Machine, host: Host, seed: int) -> None:
    compare(host, a_table(seed, machine.arch), seed)


@pytest.mark.parametrize("damage", [flipped, forged, lambda data, chance: data[: chance.randrange(len(data))]])
def test_c_and_python_say_the_same_of_damaged_tables(machine: Machine, host: Host, damage: object) -> None:
    assert callable(damage)
    for seed in range(20):
        table, chance = a_table(seed, machine.arch), random.Random(seed)
        data = damage(encode(table), chance, *([machine.arch] if damage is forged else []))
        at, error = host.check(data) if data else (0, "bad_place")
        asked = questions(table, at, seed) if error == "ok" else []
        if data:
            assert len(host.ask(asked)) == len(asked)
        assert error == inspect(data, machine.arch)


def test_every_symbol_of_nm_is_found_both_ways_in_the_linked_program(kernel: Kernel) -> None:
    at = kernel.image.address_of("bp_ksyms") or 0
    table = decode(kernel.bytes_of("ksyms"), kernel.machine.arch, kernel.path)
    asked: list[Question] = []
    expected: list[set[tuple[int, str]]] = []
    for address, size, letter, name in kernel.own:
        asked.append(("l", name.encode(), 0))
        expected.append({(row[0], name) for row in kernel.own if row[3] == name})
        inside = [row for row in kernel.own if row[0] == address]
        biggest = max(row[1] for row in inside)
        for place in (address, address + size - 1) if size and letter in "tTdDrRbBW" else ():
            if place == address or not any(address < row[0] <= place for row in kernel.own):
                asked.append(("f", place, 100))
                expected.append({(address, row[3]) for row in inside if row[1] == biggest})
    with Host(kernel.path, (kernel.machine.qemu, kernel.path), kernel.machine.arch.byteorder) as running:
        assert running.check(b"") == (at, "ok")
        answers = running.ask(asked)
    assert answers == [answer(table, at, question) for question in asked]
    for question, said, right in zip(asked, answers, expected, strict=True):
        words = said.split()
        if question[0] == "f":
            assert (int(words[1], 16), bytes.fromhex(words[5]).decode()) in right
        else:
            assert {(int(address, 16), next(iter(right))[1]) for address in words[1::5]} == right


def test_backtrace_of_the_linked_program_says_who_called(kernel: Kernel) -> None:
    if kernel.machine.arch.frame_record:
        with Host(kernel.path, (kernel.machine.qemu, kernel.path), kernel.machine.arch.byteorder) as running:
            running.check(b"")
            (said,) = running.ask([("b", 0, 0)])
        names = [bytes.fromhex(line).decode().partition("+")[0] for line in said.split()]
        assert names == ["main", "start", "_start"]
    else:
        assert kernel.image.address_of("bp_ksyms_backtrace") is None


def test_listing_is_that_of_nm(kernel: Kernel) -> None:
    listed = [line.split() for line in buildplug("ksyms", kernel.path).stdout.splitlines()]
    found = sorted((int(row[0], 16), row[-2], row[-1]) for row in listed)
    assert found == sorted((address, letter, name) for address, _, letter, name in kernel.own)


def test_functions_to_call_are_where_nm_says(kernel: Kernel) -> None:
    arch, data, at = kernel.machine.arch, kernel.bytes_of("own.toml"), kernel.image.address_of("bp_own") or 0
    layout = f"{arch.byteorder}ii{'Q' if arch.word == 8 else 'I'}Ii"
    count, size = struct.unpack_from(f"{arch.byteorder}II", data)
    assert size == struct.calcsize(layout)
    found = set()
    for place in range(8, 8 + count * size, size):
        near, inside, entry, extent, name = struct.unpack_from(layout, data, place)
        text = data[place + size - 4 + name :].split(b"\0")[0].decode()
        assert at + place + near == at + inside == entry & ~1 if arch.thumb else entry
        assert entry & 1 == (arch.thumb and (text == "thumb_leaf" or kernel.machine.name == "thumb"))
        found.add((at + inside, extent, text))
    wanted = {"first", "second", "thumb_leaf", "start"}
    assert found == {(address, size, name) for address, size, _, name in kernel.rows if name in wanted}


def test_flipped_byte_of_a_table_is_found(kernel: Kernel, tmp_path: Path) -> None:
    damaged, chance = tmp_path / "vmlinux", random.Random(kernel.machine.name)
    section = kernel.image.section(".bp_ksyms")
    data = bytearray(kernel.path.read_bytes())
    data[section.offset + chance.randrange(len(encode_of(kernel)))] ^= 0x10
    damaged.write_bytes(data)
    done = buildplug("verify", kernel.path, damaged, "--rule", "ksyms")
    assert done.returncode == 1
    assert "table bp_ksyms: " in one_line(done.stderr)


def encode_of(kernel: Kernel) -> bytes:
    """The bytes of the table without its room."""
    return encode(decode(kernel.bytes_of("ksyms"), kernel.machine.arch, kernel.path))
