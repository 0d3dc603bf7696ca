"""Records that annotations leave in sections: read from linked images, against nm; and what is wrong with them."""

import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from buildplug.arch.model import Arch
from buildplug.arch.x86 import I386, X86_64
from buildplug.base.data import rules
from buildplug.base.errors import BuildplugError
from buildplug.config.rule import Field, Output, Rule, find
from buildplug.config.select import Member, Records
from buildplug.image.elf import Image
from buildplug.select.annotations import LONGEST
from buildplug.select.rows import columns_of
from buildplug.stage import render
from buildplug.tables.fields import rows_of
from tests.conftest import HIGH, LD, LOW, Link, tool
from tests.samples import buildplug, edit, one_line

LINKS = [(ld, flags) for ld in ("ld", "ld.lld") for flags in ((), ("-pie",))]
CODE = """
    .text
    .globl f, g, alias
    .type f, @function
    .type g, @function
    .type alias, @function
    nop
f:  nop
g:
alias:
    nop
label:
    nop
"""


def rule(*members: Member, fields: tuple[str, ...] = (), **select: Any) -> Rule:
    """A rule with a field for each member that is an address or a number, and those that are asked for."""
    plain = [Field(member.name, "i8", member.name) for member in members if member.holds != "string"]
    named = [Field(value.replace(".", "_"), "string", value) for value in fields]
    chosen = {"sections": (".rec",)} | select
    return Rule("test", "records of the tests", Records(members=members, **chosen), Output(fields=(*plain, *named)))


def absolute(name: str, holds: str = "address") -> Member:
    return Member(name, "word", holds, "zero")


def rows(image: Image, wanted: Rule) -> list[tuple[Any, ...]]:
    """The values of the rows, in the order of the rule."""
    return list(zip(*(column.tolist() for column in columns_of(image, wanted)[0].values()), strict=True))


def nm(image: Image) -> dict[str, int]:
    listed = subprocess.run(["nm", image.path], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1]: int(line.split()[0], 16) for line in listed.splitlines()}


@pytest.mark.parametrize("flags", ["", "a", "aw"])
@pytest.mark.parametrize(("ld", "options"), LINKS)
def test_addresses_are_those_of_nm(link: Link, ld: str, options: tuple[str, ...], flags: str) -> None:
    if ld == "ld.lld" and options and flags == "a":
        flags = "aw"  # it wants no relocations for the loader in what cannot be written
    source = f'{CODE} .section .rec, "{flags}"; .quad g, label, f, f'
    image = link(source, ld=ld, flags=options)
    at = nm(image)
    wanted = rule(absolute("a"), absolute("b"))
    assert rows(image, wanted) == [(at["f"], at["f"]), (at["g"], at["label"])]


def test_addresses_of_a_machine_of_32_bits_are_those_of_nm(link: Link) -> None:
    source = f'{CODE} .section .rec; .long g, label; .section .here, "a"; .long f - ., g - .'
    image = link(source, arch=I386, base=0xC0100000)
    at = nm(image)
    assert rows(image, rule(absolute("a"), absolute("b"))) == [(at["g"], at["label"])]
    here = rule(Member("a", "i4", "address"), Member("b", "i4", "address"), sections=(".here",))
    assert rows(image, here) == [(at["f"], at["g"])]


@pytest.mark.parametrize("base", [LOW, HIGH])
@pytest.mark.parametrize(("ld", "options"), LINKS)
def test_relative_addresses_are_those_of_nm(link: Link, ld: str, options: tuple[str, ...], base: int) -> None:
    source = f'{CODE} .section .rec, "a"; first: .long f - ., g - first; .long g - ., f - first'
    image = link(source, ld=ld, flags=options, base=base)
    at = nm(image)
    wanted = rule(Member("a", "i4", "address"), Member("b", "i4", "address", "table"))
    assert rows(image, wanted) == [(at["f"], at["g"]), (at["g"], at["f"])]


@pytest.mark.parametrize(
    ("kind", "directive", "value"),
    [
        ("u1", ".byte", 255), ("i1", ".byte", -128), ("u2", ".short", 65535), ("i2", ".short", -2),
        ("u4", ".long", 2**32 - 1), ("i4", ".long", -(2**31)), ("u8", ".quad", 2**63 + 1), ("i8", ".quad", -(2**63)),
        ("word", ".quad", 2**64 - 1),
    ],
)  # fmt: skip
def test_numbers_keep_their_sign_and_their_width(link: Link, kind: str, directive: str, value: int) -> None:
    image = link(f"{CODE} .section .rec; .byte 1; {directive} {value}; .byte 2; {directive} 0")
    assert sorted(rows(image, rule(Member("a", "u1"), Member("b", kind)))) == [(1, value), (2, 0)]


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
@pytest.mark.parametrize("named", ["g", "alias"])
def test_relocation_says_which_of_two_names_is_meant(link: Link, ld: str, named: str) -> None:
    image = link(f"{CODE} .section .rec; .quad {named}", ld=ld)
    assert nm(image)["g"] == nm(image)["alias"]
    assert rows(image, rule(absolute("a"), fields=("a.symbol",))) == [(nm(image)["g"], named)]


@pytest.mark.parametrize(
    ("first", "name"), [("label: .globl typed; .type typed, @function; typed", "typed"), ("label", "label")]
)
def test_symbol_without_a_relocation_is_found_by_its_address(link: Link, first: str, name: str) -> None:
    image = link(f".text; nop; {first}: nop; .section .rec; .quad {LOW + 1}")
    assert rows(image, rule(absolute("a"), fields=("a.symbol",))) == [(LOW + 1, name)]


@pytest.mark.parametrize("flags", ["", "a"])
@pytest.mark.parametrize(("ld", "options"), LINKS)
def test_strings_may_lie_in_memory_or_not(link: Link, ld: str, options: tuple[str, ...], flags: str) -> None:
    source = f"""{CODE} .section .rec; .quad .Lb, .Lc, .La, .La, .La, .Lempty
    .section .other_strings, "{flags}"; .asciz "wrong", "wrong", "wrong"
    .section .strings, "{flags}"; .La: .asciz "one"; .Lb: .asciz "two"; .Lc: .asciz "zwölf"; .Lempty: .asciz ""
    """
    image = link(source, ld=ld, flags=options)
    wanted = rule(absolute("a", "string"), absolute("b", "string"), fields=("a", "b"))
    assert rows(image, wanted) == [("one", "one"), ("one", ""), ("two", "zwölf")]


def test_records_of_several_sections_and_ranges_are_one_table(link: Link) -> None:
    image = link("""
        .text; nop
        .data; .quad 9; start: .quad 3; end: .quad 9
        .section .rec2; .quad 2
        .section .rec1; .quad 1
        .section .empty; .quad 7
    """)
    wanted = rule(Member("a", "u8"), sections=(".rec*",), ranges=(("start", "end"), ("start", "start")))
    assert rows(image, wanted) == [(1,), (2,), (3,)]


def test_own_table_and_skipped_sections_hold_no_records(link: Link) -> None:
    image = link(".text; nop; .section .bp_test; .quad 2; .section .bp_rec; .quad 1; .section .bp_old; .quad 3")
    assert rows(image, rule(Member("a", "u8"), sections=(".bp_*",), skip=(".bp_old",))) == [(1,)]


def test_section_that_may_be_missing_makes_an_empty_table(link: Link) -> None:
    image = link(CODE)
    wanted = rule(absolute("a"), absolute("s", "string"), fields=("s", "a.symbol"), optional=True)
    assert rows(image, wanted) == []


@pytest.mark.parametrize(
    ("record", "more", "said"),
    [
        ("", "", "expected a section .rec, found none; correct the rule, or say optional = true"),
        (".byte 1", "", ".rec: expected records of 16 bytes, found 1"),
        (
            ".quad f, 0x123456",
            "",
            "record 0, member s: expected the address of a string, found 0x123456, in no section",
        ),
        (".quad f, .Ls", '.ascii "endless"', f"expected a zero within {LONGEST} bytes and .data, found none"),
        (".quad f, .Ls", f".skip {LONGEST + 1}, 65; .byte 0", "bytes and .data, found none"),
        (".quad f, .Ls", ".byte 255, 0", "member s: expected UTF-8, found b'"),
        (".quad f + 50, .Ls", ".byte 0", "record 0, member a: expected a symbol at the address, found none at 0x1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(link: Link, record: str, more: str, said: str) -> None:
    image = link(f"{CODE} {'.section .rec;' * bool(record)} {record}; .data; .Ls: {more}")
    wrong(image, rule(absolute("a"), absolute("s", "string"), fields=("a.symbol", "s")), said)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (("end", "start"), "ranges: expected end–start inside a section"),
        (("start", "0xffffffff"), "ranges: expected start–0xffffffff inside a section"),
        (("start", "none"), "expected a symbol or an integer, found 'none'"),
    ],
)
def test_range_outside_a_section_is_said_in_one_line(link: Link, bounds: tuple[str, str], said: str) -> None:
    image = link(f"{CODE} .data; start: .quad 0; end: .quad 0")
    wrong(image, rule(absolute("a"), sections=(), ranges=(bounds,)), said)


def test_section_without_content_holds_no_records(link: Link) -> None:
    image = link(f'{CODE} .section .rec, "aw", @nobits; .skip 16')
    wrong(image, rule(absolute("a")), ".rec: expected records, found a section without content")


def wrong(image: Image, wanted: Rule, said: str) -> None:
    with pytest.raises(BuildplugError) as caught:
        columns_of(image, wanted)
    assert said in str(caught.value)
    assert "rule test" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_image_without_symbols_is_an_error(link: Link, tmp_path: Path) -> None:
    image = link(f"{CODE} .section .rec; .quad 1")
    tool("strip", "--strip-all", image.path, "-o", tmp_path / "stripped")
    with pytest.raises(BuildplugError, match="rule test: expected symbols, found none"):
        columns_of(Image(tmp_path / "stripped"), rule(absolute("a")))


def test_address_in_no_section_is_an_error_of_the_table(link: Link) -> None:
    image = link(f"{CODE} .globl bp_test; bp_test: nop; .section .rec; .quad 0x99999999")
    with pytest.raises(BuildplugError, match="rule test: a 0x99999999 lies in no section"):
        rows_of(image, rule(absolute("a")))


def test_address_that_no_field_holds_needs_no_section(link: Link, tmp_path: Path) -> None:
    image = link(f"{CODE} .globl bp_test; bp_test: nop; .section .rec; .quad 0x99999999; .quad 7")
    members = (absolute("a"), Member("b", "u8"))
    wanted = Rule("test", "", Records(members=members, sections=(".rec",)), Output(fields=(Field("b", "u1", "b"),)))
    made, _ = rows_of(image, wanted)
    assert made.encode() == bytes([1, 0, 0, 0, 1, 0, 0, 0, 7])
    assert ".byte 0x7" in render.table(wanted, made, 0, tmp_path)


def test_no_bytes_of_records_are_more_than_an_error(link: Link, tmp_path: Path) -> None:
    image = link(f'{CODE} .section .rec; .quad f, .Ls, g, .Ls, alias, .Ls; .data; .Ls: .asciz "text"')
    wanted = rule(absolute("a"), absolute("s", "string"), fields=("a.symbol", "s"))
    section, chance, outcomes = image.section(".rec"), random.Random(3), set()
    for _ in range(300):
        data = bytearray(image.path.read_bytes())
        for _ in range(chance.randrange(1, 3)):
            data[section.offset + chance.randrange(section.size)] ^= 1 << chance.randrange(8)
        (tmp_path / "spoilt").write_bytes(data)
        try:
            outcomes.add(len(rows(Image(tmp_path / "spoilt"), wanted)))
        except BuildplugError as error:
            assert "\n" not in str(error)
            outcomes.add(-1)
    assert outcomes == {-1, 3}


@pytest.mark.parametrize("arch", [X86_64, I386], ids=lambda arch: arch.name)
@pytest.mark.parametrize("cc", ["gcc", "clang"])
@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_macros_leave_records_that_survive_the_removal_of_sections(
    tmp_path: Path, arch: Arch, cc: str, ld: str
) -> None:
    found = {name: find(name, tmp_path) for name in ("extable", "exports")}
    for wanted in found.values():
        for file, text in render.table_files(arch, wanted, None, tmp_path).items():
            (tmp_path / file).write_text(text)
    (tmp_path / "kernel.c").write_text(r"""
        #include "bp_extable.h"
        #include "bp_exports.h"
        void exported(void) { }
        int variable = 1;
        BP_EXPORT(exported, "SPACE");
        BP_EXPORT(variable, "");
        void _start(void) { __asm__ volatile("insn: nop\n fixup:" BP_EXTABLE("insn", "fixup")); }
    """)
    (tmp_path / "more.S").write_text("""
        #include "bp_extable.h"
        #include "bp_exports.h"
        .section .text.more, "ax"
        .globl more
        more: nop
        again: ret
        BP_EXTABLE(more, again)
        BP_EXPORT(more, "MORE")
        .section .note.GNU-stack, "", @progbits
    """)
    flags = ("-m32",) if arch == I386 else ("-mcmodel=kernel",)
    sections = ("-ffunction-sections", "-fdata-sections", "-ffreestanding", "-fno-pic", "-O2")
    for name in ("kernel.c", "more.S"):
        tool(cc, *flags, *sections, "-c", name, "-o", f"{name}.o", cwd=tmp_path)
    words = (*LD[arch.name], "--gc-sections", "--emit-relocs", "-e", "_start", "kernel.c.o", "more.S.o", "-o", "image")
    tool(ld, *words, cwd=tmp_path)
    image = Image(tmp_path / "image")
    at = nm(image)
    assert rows(image, found["extable"]) == sorted([(at["insn"], at["fixup"]), (at["more"], at["again"])])
    listed = [(at[name], name, space) for name, space in (("exported", "SPACE"), ("more", "MORE"), ("variable", ""))]
    assert rows(image, found["exports"]) == listed


def test_symbol_that_is_exported_twice_is_an_error(link: Link, tmp_path: Path) -> None:
    image = link(
        f'{CODE} .section .bp_records.exports; .quad g, .Ls, f, .Ls, g, .Ls; .section .strings; .Ls: .asciz ""'
    )
    with pytest.raises(
        BuildplugError, match=r"rule exports: expected each export.symbol once, found g twice; drop one"
    ):
        columns_of(image, find("exports", tmp_path))


@pytest.mark.parametrize("name", rules())
def test_headers_are_of_cpp_too(tmp_path: Path, name: str) -> None:
    wanted = find(name, tmp_path)
    own = render.table_files(X86_64, wanted, None, tmp_path)
    for file, text in (own | render.runtime(X86_64, tmp_path)).items():
        (tmp_path / file).write_text(text)
    includes = "".join(f'#include "{file}"\n' for file in own if file.endswith(".h"))
    (tmp_path / "all.cc").write_text(f'extern "C" {{\n{includes}}}\n')
    tool("clang++", "-Wall", "-Werror", "-fsyntax-only", "-ffreestanding", "all.cc", cwd=tmp_path)


RULE = """
name = "handlers"
about = "handlers that the kernel's own macro lists"
[select]
rows = "records"
sections = [".handlers"]
members = [
    { name = "handler", type = "u8", holds = "address", base = "zero" },
    { name = "flags", type = "u4" },
    { name = "text", type = "i4", holds = "string" },
]
[table]
sort = ["flags"]
fields = [
    { name = "handler", type = "i4", value = "handler" },
    { name = "name", type = "string", value = "handler.symbol" },
    { name = "flags", type = "u1", value = "flags" },
]
"""


def test_extract_prints_the_records_of_any_image(link: Link, tmp_path: Path) -> None:
    (tmp_path / "rule.toml").write_text(RULE)
    strings = '.section .strings, "a"; .La: .asciz "one"; .Lb: .asciz "two\\n"'
    image = link(f'{CODE} .section .handlers, "a"; .quad f; .long 2, .La - .; .quad g; .long 1, .Lb - .; {strings}')
    at = nm(image)
    done = buildplug("extract", image.path, "--rule", tmp_path / "rule.toml")
    assert done.stdout.splitlines() == [
        f"handler={at['g']:#x} handler.symbol=g flags=1 text=two\\n",
        f"handler={at['f']:#x} handler.symbol=f flags=2 text=one",
    ]
    (tmp_path / "rule.toml").write_text(RULE.replace(".handlers", ".handler"))
    failed = buildplug("extract", image.path, "--rule", tmp_path / "rule.toml")
    assert (failed.returncode, "expected a section .handler, found none" in one_line(failed.stderr)) == (1, True)


def test_rules_show_says_the_members(tmp_path: Path) -> None:
    (tmp_path / "rule.toml").write_text(RULE)
    shown = buildplug("rules", "show", tmp_path / "rule.toml").stdout.splitlines()
    assert "member handler: u8, address, base zero" in shown
    assert "field name: string, handler.symbol: name of the symbol at that address" in shown


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('holds = "string"', 'holds = "sting"', "members[2]: holds: unknown holds 'sting'; did you mean 'string'?"),
        ('name = "flags", type = "u4"', 'name = "flags", type = "u3"', "members[1]: type: unknown type 'u3'"),
        ('name = "flags", type = "u4"', 'name = "flags", type = "string"', "members[1]: type: unknown type 'string'"),
        ('base = "zero"', 'base = "nothing"', "members[0]: base: unknown base 'nothing'"),
        ('name = "text"', 'name = "te-xt"', "member 'te-xt': expected a C identifier"),
        ('name = "text"', 'name = "comment"', "member 'comment': this name is taken"),
        ('name = "text"', 'name = "flags"', "expected each member once, found handler, flags, flags"),
        ('value = "flags"', 'value = "flag"', "field 'flags': unknown value 'flag'; did you mean 'flags'?"),
        ('value = "flags"', 'value = "text"', "value text does not go with type u1"),
        ('value = "handler.symbol"', 'value = "flags.symbol"', "unknown value 'flags.symbol'"),
        ('sort = ["flags"]', 'sort = ["flag"]', "sort: unknown value 'flag'; did you mean 'flags'?"),
        ('sections = [".handlers"]', "", "select: expected sections or ranges, found none; add one"),
        ('rows = "records"', 'functions = ["f"]', "members is for rows that are records, found references"),
        ('rows = "records"', 'rows = "record"', "unknown rows 'record'; did you mean 'records'?"),
        ("[table]", '[table]\nruntime = ["mine.py"]', "expected templates *.h.j2, *.c.j2 or *.S.j2, found 'mine.py'"),
        ("[table]", '[table]\nformat = "sites"', "expected fields for format rows, and no other"),
    ],
)  # fmt: skip
def test_rules_check_says_what_is_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "rule.toml").write_text(RULE)
    edit(tmp_path / "rule.toml", (old, new))
    failed = buildplug("rules", "check", tmp_path / "rule.toml")
    assert failed.returncode == 1
    assert said in one_line(failed.stderr)
