"""Templates: their errors, and names that no template expects."""

import dataclasses
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from buildplug.arch.x86 import X86_64
from buildplug.base.errors import BuildplugError
from buildplug.config.ops import OP_BITS, Implementation, Op, Ops
from buildplug.config.rule import Output, Rule, find
from buildplug.image.elf import Image
from buildplug.linker import fragment
from buildplug.linker.script import Placed, Placement
from buildplug.stage import render
from buildplug.tables.sites_format import Table, dtype, empty
from tests.conftest import tool

HOSTILE = [
    "*/ .globl evil; evil:", "two\n.globl evil\nevil:", "# 1 \"evil.c\"", "#include \"/etc/passwd\"", "100%s%n",
    "a\"b'c", "/* */", "*//*", "\\", "\\\n", "é\u202e", "\x1b[31m", "{{ 7 * 7 }}", "{% raw %}", "??/",
    "\r.globl evil", "*\\/", "",
]  # fmt: skip
ODD = (
    ".with space",
    ".a-b",
    ".a,b",
    ".a(b)",
    "a*b",
    ".a;b",
    ".a:b",
    ".a{b}",
    "a/*b",
    "é",
    "1.5",
    "ALIGN",
    "MAX",
    "SIZEOF",
)


def user(folder: Path, text: str) -> Path:
    (folder / "own.j2").write_text(text)
    return folder


def fails(folder: Path, text: str, *expected: str, **values: object) -> None:
    with pytest.raises(BuildplugError) as caught:
        render.render("own.j2", user(folder, text), **values)
    for part in expected:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_template_of_the_user_is_rendered(tmp_path: Path) -> None:
    assert render.render("own.j2", user(tmp_path, "a {{ x }}\n"), x=1) == "a 1\n"


def test_a_template_of_the_user_goes_before_ours(tmp_path: Path) -> None:
    (tmp_path / "tables.S.j2").write_text("mine\n")
    assert render.table(Rule("r", ""), empty(X86_64), 0, tmp_path) == "mine\n"


def test_a_missing_template_says_where_it_would_be(tmp_path: Path) -> None:
    with pytest.raises(BuildplugError, match=f"none.j2: expected a template, found none; write {tmp_path}/none.j2"):
        render.render("none.j2", tmp_path)


def test_a_template_that_includes_a_missing_one_names_that(tmp_path: Path) -> None:
    fails(tmp_path, "{% include 'gone.j2' %}", "expected a template, found none", f"{tmp_path}/gone.j2")


def test_a_template_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "own.j2").write_bytes(b"\xff")
    with pytest.raises(BuildplugError, match=r"own\.j2"):
        render.render("own.j2", tmp_path)


@pytest.mark.parametrize("text", ["\n\n{% if %}", "\n\n{{ a b }}", "\n\n{% endfor %}", "\n\n{{ x | nofilter }}"])
def test_a_syntax_error_names_its_line(tmp_path: Path, text: str) -> None:
    fails(tmp_path, text, f"{tmp_path}/own.j2:3: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("\n{{ gone }}", "'gone' is undefined"), ("\n{{ x.gone }}", "has no attribute 'gone'"),
     ("\n{{ 1 // 0 }}", "division"), ("\n{{ x + 'a' }}", "unsupported operand"), ("\n{{ x() }}", "not callable")],
)  # fmt: skip
def test_what_does_not_render_names_its_line(tmp_path: Path, text: str, expected: str) -> None:
    fails(tmp_path, text, "own.j2:2: does not render: ", expected, x=1)


def test_a_section_that_no_script_can_say_is_an_error() -> None:
    for name in ('a"b', "a\\b", "a\nb"):
        with pytest.raises(BuildplugError, match="expected a name that a linker script can say"):
            fragment.anchors([("anchor", name)])


def one_site(section: str, op: str) -> Table:
    """A table of one site, whose section and op have these names."""
    sections, ops, sites = (np.zeros(1, dtype(record, "<")) for record in ("section", "op", "site"))
    sections["sites"], sections["size"], sites["info"] = 1, 5, 9 << OP_BITS
    return Table(X86_64, sections, ops, sites, np.zeros(1, "<i8"), (section,), (op,))


def assembled(folder: Path, text: str) -> Path:
    (folder / "text.S").write_text(text)
    tool("gcc", "-Wall", "-Werror", "-c", "text.S", "-o", "text.o", cwd=folder)
    return folder / "text.o"


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", ["section", "op"])
def test_any_name_stays_in_its_comment(tmp_path: Path, name: str, kind: str) -> None:
    table = one_site(name if kind == "section" else ".text", name if kind == "op" else "op")
    image = Image(assembled(tmp_path, render.table(Rule("r", ""), table, 0, tmp_path)))
    assert {n for n in image.names if n and not n.startswith(".")} == {"bp_r", "__bp_r_section_0"}
    assert image.bytes_of(image.section(".bp_r")).tobytes() == table.encode()


def test_a_name_does_not_change_the_lines_of_the_text(tmp_path: Path) -> None:
    texts = [render.table(Rule("r", ""), one_site(".text", n), 0, tmp_path) for n in HOSTILE]
    assert len({text.count("\n") for text in texts}) == 1


@pytest.mark.parametrize("name", ODD)
def test_an_odd_section_is_anchored_by_the_linker(tmp_path: Path, name: str) -> None:
    table = one_site(name, "op")
    source = f'{render.table(Rule("r", ""), table, 0, tmp_path)}\n.section "{name}", "aw"\n.skip 5\n'
    assembled(tmp_path, source)
    (tmp_path / "anchors.lds").write_text(fragment.anchors([("__bp_r_section_0", name)]))
    tool("ld", "-e", "0", "text.o", "anchors.lds", "-o", "image", cwd=tmp_path)
    image = Image(tmp_path / "image")
    assert image.address_of("__bp_r_section_0") == image.section(name).address


def test_tables_go_behind_an_odd_section(tmp_path: Path) -> None:
    rule = Rule("r", "")
    source = f'{render.table(rule, empty(X86_64), 0, tmp_path)}\n.section ".read only", "a"\n.skip 5\n'
    assembled(tmp_path, source)
    (tmp_path / "ours.lds").write_text(fragment.placement([rule], Placement((Placed(rule, ".read only", ""),))))
    (tmp_path / "kernel.lds").write_text(
        'SECTIONS { . = 0x1000; ".read only" : { *(".read only") } .data : { *(.data) } }'
    )
    tool("ld", "-e", "0", "-T", "ours.lds", "-T", "kernel.lds", "text.o", "-o", "image", cwd=tmp_path)
    image = Image(tmp_path / "image")
    assert image.section(".bp_r").index == image.section(".read only").index + 1


OPS = Ops(
    {"a": Op("pv_a"), "b": Op("pv_b"), "c": Op("pv_c"), "d": Op("pv_d"), "e": Op("pv_e")},
    {"native": {
        "a": Implementation(inline="cli; nop"), "b": Implementation(nothing=True),
        "c": Implementation(function="fast_c"),
        "e": Implementation(function="pv_e"),
    }},
)  # fmt: skip


def test_a_backend_says_its_ways(tmp_path: Path) -> None:
    rule = Rule("r", "")
    files = render.table_files(X86_64, rule, OPS, tmp_path)
    text = files["bp_r_backends.S"] + "\n.text\n.globl fast_c, pv_e\nfast_c: ret\npv_e: ret\n"
    assembled(tmp_path, text)
    tool("ld", "-e", "0", "text.o", "-o", "image", cwd=tmp_path)
    image = Image(tmp_path / "image")
    section, at = image.section(".rodata"), image.address_of("bp_r_native") or 0
    rows = np.frombuffer(image.bytes_of(section)[at - section.address + 8 :].tobytes(), dtype("implementation", "<"), 5)
    ways = [(at + 8 * i + 8 + int(f) if f else 0, int(n)) for i, (f, n) in enumerate(rows)]
    names = {name: image.address_of(name) for name in ("bp_r_native__a", "bp_r_native__b", "fast_c")}
    not_inline = 0xFFFFFFFF
    assert ways == [(names["bp_r_native__a"], 2), (names["bp_r_native__b"], 0), (names["fast_c"], not_inline),
                    (0, not_inline), (0, not_inline)]  # fmt: skip
    text_section = image.section(".text")
    code = image.bytes_of(text_section)[(names["bp_r_native__a"] or 0) - text_section.address :][:4].tobytes()
    assert code == b"\xfa\x90\xc3\xc3"


def test_the_header_of_a_table_compiles(tmp_path: Path) -> None:
    files = render.runtime(X86_64, tmp_path) | render.table_files(X86_64, Rule("r", ""), OPS, tmp_path)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "own.c").write_text('#include "bp_r.h"\n#include "bp_r.h"\nconst void *a = &bp_r, *b = &bp_r_native;\n')
    tool("gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-c", "own.c", "-o", "own.o", cwd=tmp_path)


def test_a_rule_may_have_its_own_section_and_symbol(tmp_path: Path) -> None:
    rule = Rule("r", "", table=Output(section=".mine", symbol="mine"))
    image = Image(assembled(tmp_path, render.table(rule, empty(X86_64), 0, tmp_path)))
    assert image.section(".mine").size == len(empty(X86_64).encode())
    assert "mine" in image.names


def test_the_same_records_give_the_same_text(tmp_path: Path) -> None:
    table = one_site(".text", "op")
    texts = {render.table(Rule("r", ""), dataclasses.replace(table), 0, tmp_path) for _ in range(3)}
    assert len(texts) == 1


def test_templates_of_the_users_are_those_that_tables_need(tmp_path: Path) -> None:
    texts = {
        "own.c.j2": '{% extends "base.j2" %}{% include "parts/one.j2" %}', "base.j2": '{% include "own.c.j2" %}',
        "parts/one.j2": '{% include "gone.j2" %}', "rows.h.j2": "{% broken", ".venv/other.j2": "", "else.c.j2": "",
    }  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    rule = Rule("own", "of the tests", table=Output(template="own.c.j2"))
    needed = {"own.c.j2", "base.j2", "parts/one.j2", "rows.h.j2"}
    assert render.users([rule], tmp_path) == sorted(tmp_path / name for name in needed)


@pytest.mark.parametrize("reach", ["().__class__.__mro__", "rule.__init__.__globals__"])
def test_a_template_cannot_reach_python(tmp_path: Path, reach: str) -> None:
    (tmp_path / "own.S.j2").write_text(f"{{{{ {reach} }}}}")
    with pytest.raises(BuildplugError, match=r"own.S.j2:\d+: does not render: .*unsafe"):
        render.render("own.S.j2", tmp_path, rule=Rule("a", ""))


def test_what_a_rule_is_about_stays_a_comment(tmp_path: Path) -> None:
    rule = replace(find("functions", tmp_path), about="x */ int injected = 1; /*")
    (text,) = (text for name, text in render.table_files(X86_64, rule, None, tmp_path).items() if name.endswith(".h"))
    assert "int injected" not in re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
