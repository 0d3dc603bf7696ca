"""Rules of plain tables, as the command line lists, shows and checks them."""

import json
from pathlib import Path

import pytest

from tests.samples import buildplug, one_line
from tests.tables.plain_rules import OBJECTS


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[select]", "[slect]", "unknown key 'slect'; did you mean 'select'?"),
        ('value = "size"', 'value = "sise"', "unknown value 'sise'; did you mean 'size'?"),
        ('type = "u2"', 'type = "u3"', "unknown type 'u3'"),
        ('rows = "symbols"', 'rows = "symbol"', "unknown rows 'symbol'; did you mean 'symbols'?"),
        ('sort = ["name"]', 'sort = ["nam"]', "unknown value 'nam'; did you mean 'name'?"),
    ],
)
def test_rules_check_says_what_is_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "rule.toml").write_text(OBJECTS.replace(old, new))
    failed = buildplug("rules", "check", tmp_path / "rule.toml")
    assert failed.returncode == 1
    assert said in one_line(failed.stderr)


def test_rules_check_of_a_good_rule_is_silent(tmp_path: Path) -> None:
    (tmp_path / "rule.toml").write_text(OBJECTS)
    done = buildplug("rules", "check", tmp_path / "rule.toml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_rules_are_listed_and_explained() -> None:
    refused = buildplug("rules", "list", "paravirt")
    assert refused.returncode == 2
    assert "list: expected nothing after it, found paravirt" in one_line(refused.stderr)
    listed = json.loads(buildplug("rules", "--json").stdout)
    assert {"paravirt", "linux-paravirt", "calls", "functions", "retpolines"} <= set(listed)
    for name in listed:
        shown = buildplug("rules", "show", name)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert listed[name]["about"] in shown.stdout


def test_rule_is_explained_with_its_selection_flags_and_order(tmp_path: Path) -> None:
    (tmp_path / "rule.toml").write_text(OBJECTS.replace("[table]", 'untyped = true\n[table]\nflags = "aw"'))
    lines = buildplug("rules", "show", tmp_path / "rule.toml").stdout.splitlines()
    assert "table bp_objects in section .bp_objects, flags aw, template rows.S.j2" in lines
    assert {"untyped: yes", "sections: .data", "sort: name"} <= set(lines)
