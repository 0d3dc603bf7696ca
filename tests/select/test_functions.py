"""The function that contains an address, as a value of rows: what compilers record for tracers, against nm."""

import re
from pathlib import Path

import numpy as np
import pytest

from buildplug.base.errors import BuildplugError
from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.select.functions import containing
from buildplug.select.rows import columns_of
from tests.conftest import Link, tool
from tests.select.records import nm

SOURCE = """
extern int other(int);
int one(int a) { return other(a) + 1; }
int two(int a) { return other(a) + 2; }
int three(int a) { return other(a) + 3; }
"""
HOOKS = ".globl __fentry__, mcount, other, _start\n__fentry__: mcount: other: _start: ret\n"


def built(folder: Path, compiler: str, *flags: str) -> Image:
    (folder / "k.c").write_text(SOURCE)
    (folder / "m.S").write_text(f'{HOOKS}.section .note.GNU-stack, "", @progbits\n')
    common = ("-O2", "-ffreestanding", "-fno-pie", "-fno-asynchronous-unwind-tables", "-fcf-protection=none")
    tool(compiler, *common, *flags, "-c", "k.c", "-o", "k.o", cwd=folder)
    tool("gcc", "-c", "m.S", "-o", "m.o", cwd=folder)
    tool("ld", "-Ttext=0x100000", "--emit-relocs", "k.o", "m.o", "-o", "k.elf", cwd=folder)
    return Image(folder / "k.elf")


@pytest.mark.parametrize(
    ("compiler", "rule", "flags"),
    [
        ("gcc", "patchable", ["-fpatchable-function-entry=5"]),
        ("clang", "patchable", ["-fpatchable-function-entry=5"]),
        ("gcc", "mcount", ["-pg", "-mfentry", "-mrecord-mcount"]),
        ("gcc", "mcount", ["-pg", "-mfentry", "-mrecord-mcount", "-mnop-mcount"]),
        ("gcc", "mcount", ["-pg", "-mfentry", "-mrecord-mcount", "-mcmodel=large"]),
    ],
)
def test_what_compilers_record_is_a_table(tmp_path: Path, compiler: str, rule: str, flags: list[str]) -> None:
    image = built(tmp_path, compiler, *flags)
    columns, _ = columns_of(image, find(rule, tmp_path))
    at = nm(image)
    assert columns["site"].tolist() == [at[name] for name in ("one", "two", "three")]
    value = {"mcount": "site.function.start", "patchable": "site.entry.start"}[rule]
    assert columns[value].tolist() == columns["site"].tolist()


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_room_before_an_entry_is_the_next_functions(tmp_path: Path, compiler: str) -> None:
    image = built(tmp_path, compiler, "-fpatchable-function-entry=5,2")
    columns, _ = columns_of(image, find("patchable", tmp_path))
    at = nm(image)
    assert columns["site.entry.start"].tolist() == [at[name] for name in ("one", "two", "three")]
    assert columns["site"].tolist() == [at[name] - 2 for name in ("one", "two", "three")]


CODE = """
.text; .globl outer, inner, alias, last
.type outer, @function; .type inner, @function; .type alias, @function
outer: nop; nop; label: nop; nop; alias_end: nop
.size outer, . - outer
inner: alias: nop; nop
.size inner, . - inner; .size alias, . - alias
nop; untyped: nop; nop
.globl whole; .type whole, @function; .type part, @function
whole: nop; part: nop; .size part, . - part; nop; .size whole, . - whole
"""


def test_it_is_the_function_around_else_the_label_before(link: Link) -> None:
    image = link(CODE)
    start = nm(image)["outer"]
    found = containing(image, np.arange(start, start + 13, dtype="u8"), "test")
    names = [image.name_of(index) for index in found.tolist()]
    assert names == ["outer"] * 5 + ["inner"] * 3 + ["untyped"] * 2 + ["whole", "part", "whole"]


def test_an_address_outside_of_code_is_refused(link: Link) -> None:
    image = link(CODE)
    with pytest.raises(BuildplugError, match=r"expected a function that contains 0x10, found none"):
        containing(image, np.array([0x10], "u8"), "test")


def test_a_reference_says_in_which_function_it_is(link: Link, tmp_path: Path) -> None:
    (tmp_path / "who.toml").write_text(
        'name = "who"\nabout = "who calls"\n[select]\nfunctions = ["inner"]\n'
        '[table]\nfields = [{ name = "who", type = "string", value = "site.function" }]\n'
    )
    image = link(CODE + ".globl caller; .type caller, @function; caller: nop; call inner; .size caller, . - caller\n")
    columns, _ = columns_of(image, find("who.toml", tmp_path))
    assert columns["site.function"].tolist() == ["caller"]


def test_a_rule_names_the_values_that_there_are(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(
        'name = "bad"\nabout = ""\n[select]\nfunctions = ["f"]\n'
        '[table]\nfields = [{ name = "a", type = "i4", value = "length.function" }]\n'
    )
    with pytest.raises(BuildplugError, match=re.escape("site.function")):
        find("bad.toml", tmp_path)
