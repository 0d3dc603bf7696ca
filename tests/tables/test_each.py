"""Tables with constants, addresses of named symbols and several rows of a site, in front of what the kernel itself has
in their section: as Linux's alternatives are."""

import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tests.conftest import tool
from tests.samples import buildplug, edit, one_line
from tests.tables import test_placed

KERNEL = """
.globl _start, code
.type _start, @function
_start: {calls}
	ret
.size _start, . - _start
.type one, @function
one:	cli; ret
.size one, . - one
.type other, @function
other:	ret
.size other, . - other
code:	nop; nop
.section .sites, "a"
	.long _start - ., code + 1 - .
	.byte 99, 1
.data
.balign 8
.type ops, @object
ops:	.quad one, other, 0
.size ops, . - ops
.section .note.GNU-stack, ""
"""
SCRIPT = test_placed.SCRIPT.replace(".rodata : { *(.rodata*) }", ".data : { *(.data*) }")
RULE = """
name = "sites"
about = "calls through slots"
select = { slots = ["ops"], kinds = ["slot-call"] }
[table]
section = ".sites"
placed = true
first = true
head = false
align = 1
fields = [
    { name = "site", type = "i4", value = "site" },
    { name = "code", type = "i4", value = "code" },
    { name = "number", type = "u1", value = "number" },
    { name = "length", type = "u1", value = "length" },
]
[[table.each]]
numbers = { number = 7 }
addresses = { code = "code" }
[[table.each]]
only = { held = ["on?"] }
numbers = { number = 8 }
addresses = { code = "_start" }
"""
ROW = struct.Struct("<iiBB")


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    for name, text in {"k.lds": SCRIPT, "sites.toml": RULE, "buildplug.toml": test_placed.CONFIG}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def rows(kernel: Path, *slots: int, ld: str = "ld") -> list[tuple[int, int, int, int]]:
    """Links a kernel that calls through these slots: what is between the labels, addresses in place of distances."""
    (kernel / "k.S").write_text(KERNEL.format(calls="; ".join(f"call *ops + {8 * slot}(%rip)" for slot in slots)))
    tool("gcc", "-c", "k.S", cwd=kernel)
    done = buildplug("ld", "--ld", ld, "-T", "k.lds", "-o", "k.elf", "k.o", cwd=kernel)
    assert done.returncode == 0, done.stderr
    start, _, data = content(kernel / "k.elf")
    symbols = addresses(kernel)
    assert (symbols["sites_start"], symbols["sites_end"]) == (start, start + len(data))
    places = range(start, start + len(data), ROW.size)
    return [(at + s, at + 4 + c, n, size) for at, (s, c, n, size) in zip(places, ROW.iter_unpack(data), strict=True)]


def content(image: Path) -> tuple[int, int, bytes]:
    """Address, offset in the file and content of the section of sites."""
    with image.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".sites")
        assert section is not None
        return section["sh_addr"], section["sh_offset"], section.data()


def addresses(kernel: Path) -> dict[str, int]:
    return {name: int(value, 16) for value, _, name in map(str.split, tool("nm", kernel / "k.elf").splitlines())}


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_each_site_has_its_rows_in_their_order_and_the_kernels_own_are_behind_all(kernel: Path, ld: str) -> None:
    found, at = rows(kernel, 1, 0, 2, 0, ld=ld), addresses(kernel)
    sites = [at["_start"] + 6 * number for number in range(4)]
    direct, inline = (at["code"], 7, 6), (at["_start"], 8, 6)
    assert found == [
        (sites[0], *direct),
        (sites[1], *direct), (sites[1], *inline),
        (sites[2], *direct),
        (sites[3], *direct), (sites[3], *inline),
        (at["_start"], at["code"] + 1, 99, 1),
    ]  # fmt: skip


def test_a_table_of_other_size_is_linked_anew_and_one_of_the_same_is_filled_in(kernel: Path) -> None:
    for slots, numbers in (((0, 1), [7, 8, 7, 99]), ((1, 0), [7, 7, 8, 99]), ((1,), [7, 99]), ((1, 1), [7, 7, 99])):
        assert [number for _, _, number, _ in rows(kernel, *slots)] == numbers


def test_the_kernels_own_part_of_the_section_is_proved(kernel: Path) -> None:
    rows(kernel, 0, 1)
    done = buildplug("ld", "--keep", "--relink", "--emit-relocs", "-T", "k.lds", "-o", "k.elf", "k.o", cwd=kernel)
    assert done.returncode == 0, done.stderr
    images = [kernel / "k.elf.buildplug" / f"k.elf.{which}" for which in ("draft", "relinked")]
    verify: list[str | Path] = ["verify", *images, "--rule", "sites.toml"]
    assert buildplug(*verify, cwd=kernel).returncode == 0
    _, start, data = content(images[1])
    end, good = start + len(data), images[1].read_bytes()
    for at, found in ((end - 2, "+0x8"), (end - 5, "the field at +0x4 does not hold what its relocation says")):
        changed = bytearray(good)
        changed[at] ^= 1
        images[1].write_bytes(changed)
        refused = buildplug(*verify, cwd=kernel)
        assert refused.returncode == 1
        assert f"found .sites: {found}" in one_line(refused.stderr).replace("byte ", "")


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("k.lds", "*(.sites)", "k.o(.sites) *(.sites)", "expected its table at the start of .sites, found it at +0xa"),
        ("sites.toml", 'code = "code"', 'code = "cold"', "each: expected the symbol cold, found none; define it, or"),
    ],
)
def test_a_link_of_what_is_not_there_is_an_error(kernel: Path, name: str, old: str, new: str, said: str) -> None:
    edit(kernel / name, (old, new))
    (kernel / "k.S").write_text(KERNEL.format(calls="call *ops(%rip)"))
    tool("gcc", "-c", "k.S", cwd=kernel)
    done = buildplug("ld", "-T", "k.lds", "-o", "k.elf", "k.o", cwd=kernel)
    assert f"rule sites: {said}" in one_line(done.stderr)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("placed = true\n", "", "table: first is for tables with placed; leave it out"),
        ("numbers = { number = 8 }", "", "each[1]: expected the values of the first, number, code, found code"),
        ("number = 7", "slot = 7", "each[0]: slot is a value of what is selected; rename it"),
        ("number = 7", f"number = {1 << 63}", "number: expected 64 bits with a sign, found 0x8000000000000000"),
        ("number = 7", 'number = "7"', "numbers.number: expected an integer, found '7'"),
        ("held =", "hold =", "each[1]: only: unknown value 'hold'; did you mean 'held'?"),
        ('held = ["on?"]', 'slot = ["1"]', "each[1]: only: expected strings, found slot, of numbers"),
        ('value = "number"', 'value = "numbers"', "unknown value 'numbers'; did you mean 'number'?"),
    ],
)
def test_rules_check_says_what_is_wrong_with_each(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "sites.toml").write_text(RULE.replace(old, new))
    assert said in one_line(buildplug("rules", "check", tmp_path / "sites.toml").stderr)


def test_numbers_below_zero_are_linked_again(kernel: Path) -> None:
    rule = RULE.replace('"number", type = "u1"', '"number", type = "i1"').replace("number = 7", "number = -7")
    (kernel / "sites.toml").write_text(rule)
    first = rows(kernel, 0, 1)
    assert [number for _, _, number, _ in first if number > 8] == [0x100 - 7] * 2 + [99]
    assert rows(kernel, 0, 1) == first


def test_a_previous_table_that_the_rule_no_longer_holds_is_made_anew(kernel: Path) -> None:
    rule = RULE.replace("number = 7", "number = 200")
    (kernel / "sites.toml").write_text(rule)
    first = rows(kernel, 0, 1)
    (kernel / "sites.toml").write_text(RULE.replace('"number", type = "u1"', '"number", type = "i1"'))
    assert [200 if number == 7 else number for _, _, number, _ in rows(kernel, 0, 1)] == [n for _, _, n, _ in first]
