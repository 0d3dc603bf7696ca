"""Records that annotations leave in sections: read from linked images, against nm."""

from pathlib import Path

import pytest

from buildplug.arch.model import Arch
from buildplug.arch.x86 import I386, X86_64
from buildplug.base.data import rules
from buildplug.config.rule import Field, Output, Rule, find
from buildplug.config.select import Member, Records
from buildplug.image.elf import Image
from buildplug.stage import render
from buildplug.tables.fields import rows_of
from tests.conftest import HIGH, LD, LOW, Link, tool
from tests.select.records import CODE, LINKS, absolute, nm, rows, rule


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


def test_address_that_no_field_holds_needs_no_section(link: Link, tmp_path: Path) -> None:
    image = link(f"{CODE} .globl bp_test; bp_test: nop; .section .rec; .quad 0x99999999; .quad 7")
    members = (absolute("a"), Member("b", "u8"))
    wanted = Rule("test", "", Records(members=members, sections=(".rec",)), Output(fields=(Field("b", "u1", "b"),)))
    made, _ = rows_of(image, wanted)
    assert made.encode() == bytes([1, 0, 0, 0, 1, 0, 0, 0, 7])
    assert ".byte 0x7" in render.table(wanted, made, 0, tmp_path)


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


@pytest.mark.parametrize("name", rules())
def test_headers_are_of_cpp_too(tmp_path: Path, name: str) -> None:
    wanted = find(name, tmp_path)
    own = render.table_files(X86_64, wanted, None, tmp_path)
    for file, text in (own | render.runtime(X86_64, tmp_path)).items():
        (tmp_path / file).write_text(text)
    includes = "".join(f'#include "{file}"\n' for file in own if file.endswith(".h"))
    (tmp_path / "all.cc").write_text(f'extern "C" {{\n{includes}}}\n')
    tool("clang++", "-Wall", "-Werror", "-fsyntax-only", "-ffreestanding", "all.cc", cwd=tmp_path)
