"""Rules: those that ship, those of a user, and what is wrong with them."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildplug.base import toml
from buildplug.base.data import rules
from buildplug.base.errors import BuildplugError
from buildplug.base.globs import globs
from buildplug.config.rule import Rule, adjusted, find
from buildplug.config.select import Records, References, Relocations, Symbols

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
    assert rule.select == References(functions=("f*",))


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
    fails(tmp_path, 'name = "r"\nabout = ""\n', "expected functions or slots or ranges, found none; add one")


@pytest.mark.parametrize("key", ["name", "about"])
def test_a_missing_key_is_told(tmp_path: Path, key: str) -> None:
    text = "\n".join(line for line in GOOD.format(name="r").splitlines() if not line.startswith(key))
    fails(tmp_path, text, f"expected the key '{key}', found none")


@pytest.mark.parametrize("count", [1, 3])
def test_a_range_has_a_start_and_an_end(tmp_path: Path, count: int) -> None:
    text = GOOD.format(name="r") + f"ranges = [{['f'] * count}]\n"
    fails(tmp_path, text, rf"select: ranges\[0\]: expected a list of 2, found {count}")


def test_a_range_has_strings(tmp_path: Path) -> None:
    fails(tmp_path, GOOD.format(name="r") + "ranges = [[1, 2]]\n", r"ranges\[0\]\[0\]: expected a string, found 1")


@pytest.mark.parametrize(
    ("rows", "key", "fitting"),
    [
        ("references", "absolute = true", "symbols"), ("references", "optional = true", "records"),
        ("references", "fixed = { '.data..percpu' = '' }", "symbols, relocations"),
        ("records", "functions = ['f']", "references, symbols"), ("records", "kinds = ['call']", "references"),
        ("relocations", "slots = ['s']", "references"), ("symbols", "leave = ['call']", "references"),
    ],
)  # fmt: skip
def test_a_key_that_means_nothing_is_refused(tmp_path: Path, rows: str, key: str, fitting: str) -> None:
    text = f'name = "r"\nabout = "of the tests"\n[select]\nrows = "{rows}"\n{key}\n'
    name = key.partition(" ")[0]
    fails(tmp_path, text, f"select: {name} is for rows that are {fitting}, found {rows}; leave it out")


def test_a_key_that_no_rows_have_is_told_with_the_nearest_of_its_rows(tmp_path: Path) -> None:
    fails(tmp_path, GOOD.format(name="r") + "exlude = []\n", "select: unknown key 'exlude'; did you mean 'exclude'?")


@pytest.mark.parametrize("key, value", [("flags", "ax"), ("align", 3)])
def test_a_value_that_a_table_cannot_have_is_refused(tmp_path: Path, key: str, value: object) -> None:
    fails(tmp_path, GOOD.format(name="r") + f"[table]\n{key} = {value!r}\n", f"table: {key}: ")


def test_what_uses_a_rule_is_told_if_its_rows_are_of_another_kind() -> None:
    rule = Rule("r", "", Symbols(functions=("f",)))
    assert rule.select_as(Symbols) is rule.select
    with pytest.raises(BuildplugError, match="rule r: expected rows that are relocations, found symbols"):
        rule.select_as(Relocations)


def test_a_member_that_is_an_address_offers_the_symbol_there(tmp_path: Path) -> None:
    rule = find("exports", tmp_path)
    assert isinstance(rule.select, Records)
    members = {"export": "address", "export.symbol": "string", "namespace": "string"}
    assert members.items() <= rule.holds.items()


def test_keys_of_select_and_table_can_be_adjusted(tmp_path: Path) -> None:
    rule = find(write(tmp_path, GOOD.format(name="r")), tmp_path)
    new = adjusted(rule, {"exclude": ("f_not",), "align": 32, "name": "new"}, "here")
    assert (new.select, new.table.align) == (References(functions=("f*",), exclude=("f_not",)), 32)
    assert (new.name, new.about, new.symbol) == ("new", rule.about, "bp_new")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"absolute": True}, "here: absolute is for rows that are symbols, found references; leave it out"),
        ({"excludes": ()}, "here: unknown key 'excludes'; did you mean 'exclude'?"),
        ({"functions": ()}, "here: select: expected functions or slots or ranges, found none; add one"),
    ],
)
def test_an_adjusted_rule_is_checked(tmp_path: Path, keys: dict[str, object], said: str) -> None:
    rule = find(write(tmp_path, GOOD.format(name="r")), tmp_path)
    with pytest.raises(BuildplugError) as caught:
        adjusted(rule, keys, "here")
    assert str(caught.value) == said


@pytest.mark.parametrize("name", rules())
def test_a_rule_that_ships_is_the_same_when_written_and_read_again(tmp_path: Path, name: str) -> None:
    rule = find(name, tmp_path)
    assert find(write(tmp_path, toml.dumps(rule)), tmp_path) == rule


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
