"""Rules: those that ship, those of a user, and what is wrong with them."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildplug.base.data import rules
from buildplug.base.errors import BuildplugError
from buildplug.base.globs import globs
from buildplug.config.rule import Rule, Select, find

GOOD = """
name = "{name}"
about = "a rule"
[select]
functions = ["f*"]
"""


def write(folder: Path, text: str) -> str:
    (folder / "own.toml").write_text(text)
    return "own.toml"


def fails(folder: Path, text: str, expected: str) -> None:
    with pytest.raises(BuildplugError, match=expected) as caught:
        find(write(folder, text), folder)
    assert "own.toml" in str(caught.value)


@pytest.mark.parametrize("path", rules().values(), ids=lambda path: path.stem)
def test_a_rule_that_ships_has_the_name_of_its_file(tmp_path: Path, path: Path) -> None:
    rule = find(path.stem, tmp_path)
    assert rule.name == path.stem
    assert rule.about


def test_the_names_in_the_image_come_from_the_name(tmp_path: Path) -> None:
    rule = find(write(tmp_path, GOOD.format(name="my-rule")), tmp_path)
    assert (rule.section, rule.symbol) == (".bp_my_rule", "bp_my_rule")
    assert rule.select == Select(functions=("f*",))


def test_the_names_in_the_image_can_be_given(tmp_path: Path) -> None:
    text = GOOD.format(name="r") + '[table]\nsection = ".tab.les"\nsymbol = "the_table"\n'
    rule = find(write(tmp_path, text), tmp_path)
    assert (rule.section, rule.symbol) == (".tab.les", "the_table")


def test_a_rule_may_lie_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    write(tmp_path / "rules", GOOD.format(name="r"))
    assert find("rules/own.toml", tmp_path).name == "r"


def test_a_name_that_is_nearly_right_is_told(tmp_path: Path) -> None:
    with pytest.raises(BuildplugError, match="unknown rule 'paravrit'; did you mean 'paravirt'"):
        find("paravrit", tmp_path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BuildplugError, match=r"none\.toml: cannot be read"):
        find("none.toml", tmp_path)


@pytest.mark.parametrize("name", ["two words", "a;b", "9lives", "", "é", "a.b", "a\\nb"])
def test_a_name_that_is_no_identifier_is_refused(tmp_path: Path, name: str) -> None:
    fails(tmp_path, GOOD.format(name=name), "name: expected letters, digits and '-', found")


@pytest.mark.parametrize("key", ["section", "symbol"])
@pytest.mark.parametrize("value", ["a b", "x;y", "x\\ny", '\\"', "x-y", "{{ x }}"])
def test_a_section_or_symbol_that_is_no_identifier_is_refused(tmp_path: Path, key: str, value: str) -> None:
    fails(tmp_path, GOOD.format(name="r") + f'[table]\n{key} = "{value}"\n', "table: expected a C identifier")


@pytest.mark.parametrize("key", ["kinds", "leave"])
def test_an_unknown_kind_is_told_with_the_nearest(tmp_path: Path, key: str) -> None:
    fails(
        tmp_path, GOOD.format(name="r") + f'{key} = ["slot-cal"]\n', "unknown kind 'slot-cal'; did you mean 'slot-call'"
    )


def test_a_rule_that_selects_nothing_is_refused(tmp_path: Path) -> None:
    fails(tmp_path, 'name = "r"\nabout = ""\n', "expected functions, slots, objects or ranges, found none")


@pytest.mark.parametrize("key", ["name", "about"])
def test_a_missing_key_is_told(tmp_path: Path, key: str) -> None:
    text = "\n".join(line for line in GOOD.format(name="r").splitlines() if not line.startswith(key))
    fails(tmp_path, text, f"expected the key '{key}', found none")


def test_a_range_has_strings(tmp_path: Path) -> None:
    fails(tmp_path, GOOD.format(name="r") + "ranges = [[1, 2]]\n", r"ranges\[0\]\[0\]: expected a string, found 1")


@pytest.mark.parametrize(
    ("rows", "key", "fitting"),
    [
        ("references", "absolute = true", "symbols"), ("references", "members = []\noptional = true", "records"),
        ("references", "fixed = { '.data..percpu' = '' }", "symbols, relocations"),
        ("records", "functions = ['f']", "references, symbols"), ("records", "kinds = ['call']", "references"),
        ("relocations", "slots = ['s']", "references"), ("symbols", "leave = ['call']", "references"),
    ],
)  # fmt: skip
def test_a_key_that_means_nothing_is_refused(tmp_path: Path, rows: str, key: str, fitting: str) -> None:
    text = f'name = "r"\nabout = "of the tests"\n[select]\nrows = "{rows}"\n{key}\n'
    name = key.rpartition("\n")[2].partition(" ")[0]
    fails(tmp_path, text, f"select: {name} is for rows that are {fitting}, found {rows}; leave it out")


def test_plain_tables_have_no_absolute_symbols(tmp_path: Path) -> None:
    text = GOOD.format(name="r") + 'rows = "symbols"\nabsolute = true\n[table]\nfields = [%s]\n'
    fails(tmp_path, text % '{ name = "a", type = "u8", value = "address" }', "are for symbols without fields")


def test_a_rule_is_told_apart_from_its_equal() -> None:
    assert Rule("a", "") == Rule("a", "") != Rule("b", "")


def test_a_name_with_a_zero_byte_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BuildplugError):
        find("a\0/b.toml", tmp_path)


GLOBS = st.text("ab*?[]!", max_size=5)


@given(st.lists(GLOBS, max_size=4), st.text("ab[]!", max_size=5))
def test_globs_match_as_those_of_file_names_do(patterns: list[str], name: str) -> None:
    assert bool(globs(tuple(patterns))(name)) == any(fnmatchcase(name, glob) for glob in patterns)
