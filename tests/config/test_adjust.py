"""buildplug.toml: a rule adjusted where it is used."""

from dataclasses import replace
from pathlib import Path

import pytest

from buildplug.base.errors import BuildplugError
from buildplug.base.keys import keys_of, others_of
from buildplug.config.project import TableEntry, WantedTable, read
from buildplug.config.rule import find
from buildplug.config.select import Symbols


def tables(folder: Path, text: str) -> tuple[WantedTable, ...]:
    (folder / "buildplug.toml").write_text(text)
    return read(folder).tables


def fails(folder: Path, text: str, expected: str) -> None:
    with pytest.raises(BuildplugError) as caught:
        tables(folder, text)
    assert str(caught.value) == f"{folder}/buildplug.toml: {expected}"


def test_a_table_is_as_its_rule_says(tmp_path: Path) -> None:
    assert tables(tmp_path, '[[table]]\nrule = "ksyms"')[0].rule == find("ksyms", tmp_path)


def test_a_table_may_adjust_its_rule(tmp_path: Path) -> None:
    text = '[[table]]\nrule = "ksyms"\nexclude = ["secret_*"]\nby_name = false\nsymbol = "names"\nslack = 8'
    (table,) = tables(tmp_path, text)
    shipped = find("ksyms", tmp_path)
    select = replace(shipped.select_as(Symbols), exclude=("secret_*",))
    expected = replace(shipped, select=select, table=replace(shipped.table, by_name=False, symbol="names"))
    assert (table.rule, table.slack) == (expected, 8)


def test_one_rule_may_make_several_tables(tmp_path: Path) -> None:
    text = '[[table]]\nrule = "functions"\n[[table]]\nrule = "functions"\nname = "irqs"\nfunctions = ["irq_*"]'
    assert [table.rule.symbol for table in tables(tmp_path, text)] == ["bp_functions", "bp_irqs"]


def test_no_key_of_a_rule_is_hidden_by_one_of_a_table() -> None:
    assert not keys_of(TableEntry).keys() & others_of(TableEntry)[1].keys()


def test_rows_cannot_be_adjusted() -> None:
    assert "rows" not in others_of(TableEntry)[1]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ('excludes = ["f"]', "table[0]: unknown key 'excludes'; did you mean 'exclude'?"),
        ('exclude = "f"', "table[0]: exclude: expected a list, found 'f'"),
        ('kinds = ["call"]', "table[0]: kinds is for rows that are references, found symbols; leave it out"),
        ('kinds = ["cal"]', "table[0]: kinds[0]: unknown kind 'cal'; did you mean 'call'?"),
        ("align = 3", "table[0]: table: align: expected a power of two, found 3"),
        ('name = "a b"', "table[0]: name: expected letters, digits and '-', found 'a b'; rename the rule"),
    ],
)
def test_what_is_wrong_with_an_adjusted_rule_is_told(tmp_path: Path, keys: str, expected: str) -> None:
    fails(tmp_path, f'[[table]]\nrule = "ksyms"\n{keys}', expected)
