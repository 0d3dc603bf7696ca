"""The list of absolute addresses: which fields a rule selects, and what no list can hold."""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from buildplug.arch.field import ABS64, FIELD_NAMES, FIELDS
from buildplug.base.errors import BuildplugError
from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.select.relocations import fields
from buildplug.tables import relocs
from buildplug.tables.registry import format_of
from tests.conftest import LOW, Link, Written, tool
from tests.elfwriter import ALLOC, ET_DYN, ET_REL, File, Relocation, Section, Symbol
from tests.samples import buildplug, built, copy_sample, edit, one_line
from tests.tables.relocated_program import program

TABLE = '[table]\nfields = [{ name = "place", type = "i4", value = "place" }]\n'


def test_fields_are_selected_by_encoding_section_and_symbol(link: Link, tmp_path: Path) -> None:
    image = link(program(LOW))

    def selected(select: str) -> Counter[str]:
        (tmp_path / "own.toml").write_text(
            f'name = "own"\nabout = ""\n[select]\nrows = "relocations"\n{select}\n{TABLE}'
        )
        return Counter(FIELD_NAMES[number] for number in fields(image, find("own.toml", tmp_path))["encoding"])

    assert selected("") == {"abs32s": 4, "abs32": 1, "abs64": 6, "rel32": 1}
    assert selected('encodings = ["rel32"]') == {"rel32": 1}
    assert selected('sections = [".rodata"]') == {"abs64": 4, "abs32": 1}
    assert selected('skip = [".text", ".data"]') == {"abs64": 4, "abs32": 1}
    assert selected('exclude = ["far", "start"]')["abs64"] == 3
    assert selected('moving = ["absolute"]') == selected('encodings = ["abs32", "abs32s", "abs64"]')
    assert selected('moving = ["low"]')["abs64"] == 7
    assert selected('fixed = { ".data" = "" }')["rel32"] == 2


DATA = Section(".data", bytes(range(1, 65)), LOW, ALLOC)
OBJECT = Symbol("object", LOW + 8)


def refused(path: Path, folder: Path, select: str = "") -> str:
    """What `extract` says of an image that it refuses."""
    (folder / "own.toml").write_text(f'name = "own"\nabout = ""\n[select]\nrows = "relocations"\n{select}\n{TABLE}')
    done = buildplug("extract", path, "--rule", "own.toml", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    return one_line(done.stderr)


@pytest.mark.parametrize("kind", [5, 12, 250, 1 << 20])
def test_a_relocation_of_an_unknown_type_is_told(written: Written, tmp_path: Path, kind: int) -> None:
    path = written(File([DATA], [OBJECT], {1: [Relocation(LOW + 16, kind, 1)]}))
    said = refused(path, tmp_path)
    assert f".data+0x10: expected a relocation of a known type, found type {kind} against object" in said


@pytest.mark.parametrize(("kind", "name"), [(1, "abs64"), (10, "abs32"), (11, "abs32s"), (9, "rel32"), (42, "rel32")])
def test_a_field_that_does_not_hold_what_its_relocation_says_is_told(
    written: Written, tmp_path: Path, kind: int, name: str
) -> None:
    path = written(File([DATA], [OBJECT], {1: [Relocation(LOW + 16, kind, 1, 4)]}))
    said = refused(path, tmp_path)
    assert f"does not hold what its relocation says: expected {name} of object+0x4, {LOW + 12:#x} (type {kind})" in said
    assert "link without -pie" in said


def test_fields_that_a_tool_has_sorted_are_right(written: Written, tmp_path: Path) -> None:
    content = struct.pack("<3Q", LOW + 8, LOW + 16, LOW + 24)
    entries = [Relocation(LOW + place, 1, 1, addend) for place, addend in ((0, 16), (8, 0), (16, 8))]
    path = written(File([Section(".data", content, LOW, ALLOC)], [OBJECT], {1: entries}))
    assert fields(Image(path), find("relocs", tmp_path))["offset"].tolist() == [0, 8, 16]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (File([DATA], [OBJECT]), "expected relocations, found none; link with --emit-relocs"),
        (File([DATA], [OBJECT], {1: [Relocation(16, 1, 1)]}, type=ET_REL), "expected a linked image, found ET_REL"),
        (File([DATA], [OBJECT], {1: [Relocation(LOW + 16, 1, 1)]}, type=ET_DYN), "link without -pie"),
        (File([DATA], [OBJECT], {1: [Relocation(LOW + 64, 1, 1)]}), "its offset lies outside .data"),
        (File([DATA], [OBJECT], {1: [Relocation(LOW, 1, 7)]}), "its symbol lies outside the symbol table"),
    ],
)
def test_an_image_that_cannot_be_listed_is_told(written: Written, tmp_path: Path, file: File, said: str) -> None:
    assert said in refused(written(file), tmp_path)


def test_a_fixed_section_names_a_symbol_that_is_there(link: Link, tmp_path: Path) -> None:
    said = refused(link(program(LOW)).path, tmp_path, 'fixed = { ".data" = "__load" }')
    assert "rule own: fixed: expected the symbol __load, found none" in said


@pytest.mark.parametrize(
    ("entries", "select"),
    [
        ([Relocation(LOW + 16, 24, 2, 0)], ""),  # rel64 of an absolute symbol
        ([Relocation(LOW + 16, 1, 1), Relocation(LOW + 16, 1, 1)], ""),  # on one another
        ([Relocation(LOW + 16, 1, 1)], 'fixed = { ".data" = "object" }\nmoving = ["object"]'),
        ([Relocation(LOW + 60, 1, 1, -OBJECT.value)], ""),  # behind the section's end
    ],
)
def test_a_field_that_a_table_cannot_have_is_told(
    written: Written, tmp_path: Path, entries: Sequence[Relocation], select: str
) -> None:
    symbols = [OBJECT, Symbol("fixed", 0x1000, section=0xFFF1), Symbol("bp_own", LOW)]
    content = bytearray(64)
    for entry in entries:
        value = symbols[entry.symbol - 1].value + entry.addend - (entry.offset if entry.type in (2, 24) else 0)
        width = min(8 if entry.type in (1, 24) else 4, LOW + 64 - entry.offset)
        content[entry.offset - LOW : entry.offset - LOW + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
    image = Image(written(File([replace(DATA, content=bytes(content))], symbols, {1: entries})))
    (tmp_path / "own.toml").write_text(
        f'name = "own"\nabout = ""\n[select]\nrows = "relocations"\n{select}\n[table]\nformat = "relocs"\n'
    )
    with pytest.raises(BuildplugError, match=r"rule own: \.data\+0x..: expected a field of 32 bits or an absolute one"):
        relocs.relocs_of(image, find("own.toml", tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"abs64"', '"abs46"', "unknown encoding 'abs46'; did you mean 'abs64'?"),
        ('value = "place"', 'value = "plaice"', "unknown value 'plaice'; did you mean 'place'?"),
        ("relocations", "relocation", "unknown rows 'relocation'; did you mean 'relocations'?"),
        ("moving", "movin", "unknown key 'movin'; did you mean 'moving'?"),
        ("fixed = {", "fixed = [] #", "select: fixed: expected a table, found []"),
        (
            "moving =",
            'functions = ["f"]\nmoving =',
            "functions is for rows that are references, symbols, found relocations",
        ),
        ("[table]", '[table]\nformat = "relocs"', "expected fields for format rows, and no other, found some"),
    ],
)
def test_rules_check_says_what_is_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    select = 'encodings = ["abs64"]\nfixed = { ".data" = "" }\nmoving = ["m*"]'
    text = f'name = "own"\nabout = ""\n[select]\nrows = "relocations"\n{select}\n{TABLE}'
    (tmp_path / "own.toml").write_text(text)
    assert buildplug("rules", "check", "own.toml", cwd=tmp_path).returncode == 0
    assert old in text
    (tmp_path / "own.toml").write_text(text.replace(old, new, 1))
    done = buildplug("rules", "check", "own.toml", cwd=tmp_path)
    assert done.returncode == 1
    assert said in one_line(done.stderr)


@pytest.mark.parametrize(
    ("format", "rows"), [("relocs", "symbols"), ("sites", "relocations"), ("ksyms", "relocations")]
)
def test_a_format_that_is_not_for_the_rows_is_told(tmp_path: Path, format: str, rows: str) -> None:
    names = 'functions = ["f"]\n' if rows == "symbols" else ""
    text = f'name = "own"\nabout = ""\n[select]\nrows = "{rows}"\n{names}[table]\nformat = "{format}"\n'
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(BuildplugError, match=f"format {format} is not for {rows}"):
        format_of(find("own.toml", tmp_path))


def test_a_rule_may_make_a_plain_table_of_relocations(tmp_path: Path) -> None:
    """Fields, sorting, strings and verification are those of every plain table; readelf says what it must hold."""
    kernel = copy_sample(tmp_path / "kernel")
    (kernel / "list.toml").write_text("""
        name = "list"
        about = "pointers in data, by what they point to"
        [select]
        rows = "relocations"
        encodings = ["abs64"]
        sections = [".rodata", ".data"]
        [table]
        sort = ["symbol", "place"]
        fields = [
            { name = "place", type = "i4", value = "place" },
            { name = "symbol", type = "string", value = "symbol" },
            { name = "addend", type = "i8", value = "addend" },
            { name = "type", type = "u2", value = "type" },
            { name = "encoding", type = "u1", value = "encoding" },
        ]
    """)
    with (kernel / "buildplug.toml").open("a") as file:
        file.write('\n[[table]]\nrule = "list.toml"\n')
    assert built(kernel)["rewritten"] == []
    image = Image(kernel / "build" / "vmlinux")
    data, at = image.bytes_of(image.section(".bp_list")).tobytes(), image.address_of("bp_list")
    assert at is not None
    count, size = struct.unpack_from("<2I", data)
    found = []
    for place in range(8, 8 + count * size, size):
        field, name, addend, kind, encoding = struct.unpack_from("<iiqHB", data, place)
        start = place + 4 + name
        found.append((data[start : data.index(0, start)].decode(), at + place + field, addend, kind, encoding))
    expected, section = [], ""
    for line in tool("readelf", "-rW", image.path).splitlines():
        words = line.split()
        if line.startswith("Relocation section"):
            section = line.split("'")[1].removeprefix(".rela")
        elif len(words) == 7 and words[2] == "R_X86_64_64" and section in (".rodata", ".data"):
            expected.append((words[4], int(words[0], 16), int(words[5] + words[6], 16), 1, FIELDS.index(ABS64)))
    assert expected
    assert found == sorted(expected)


def test_absolute_addresses_in_another_table_need_room_in_the_list(tmp_path: Path) -> None:
    """They are not in the draft that the list is made from: with room for them it is made true of the final image."""
    kernel = copy_sample(tmp_path / "kernel")
    (kernel / "absolute.toml").write_text("""
        name = "absolute"
        about = "functions, as pointers"
        [select]
        rows = "symbols"
        functions = ["pv_*"]
        [table]
        fields = [{ name = "function", type = "u8", value = "address", base = "zero" }]
    """)
    with (kernel / "buildplug.toml").open("a") as file:
        file.write('\n[[table]]\nrule = "absolute.toml"\n')
    error = one_line(buildplug("build", kernel).stderr)
    assert "rule relocs: " in error
    slack = error.partition("set slack = ")[2].partition(" ")[0]
    edit(kernel / "buildplug.toml", ('rule = "relocs"', f'rule = "relocs"\nslack = {slack}'))
    assert built(kernel)["rewritten"] == ["relocs"]
    image = Image(kernel / "build" / "vmlinux")
    listed = fields(image, find("relocs", kernel))
    (pointers,) = struct.unpack_from("<I", image.bytes_of(image.section(".bp_absolute")).tobytes())
    inside = listed[listed["section"] == image.section(".bp_absolute").index]
    assert inside["offset"].tolist() == [8 + 8 * row for row in range(pointers)]
    assert pointers
