"""`buildplug rules` and `buildplug schema`, as a user runs them."""

import json
from pathlib import Path

import pytest

from buildplug.cli.schema import FILES, json_schema, markdown
from buildplug.config.rule import Rule, find
from tests.samples import buildplug, one_line


def test_a_rule_is_shown_as_a_file_that_check_accepts(tmp_path: Path) -> None:
    shown = buildplug("rules", "show", "exports", "--toml")
    (tmp_path / "own.toml").write_text(shown.stdout)
    done = buildplug("rules", "check", "own.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert find("own.toml", tmp_path) == find("exports", tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "--toml"), "rules: list: expected no --toml, which is for show"),
        (("schema", "paravirt"), "rules: schema: expected nothing after it, found paravirt"),
        (("show",), "rules: show: expected the name of a rule, found none"),
    ],
)
def test_words_that_do_not_go_together_are_told(words: tuple[str, ...], said: str) -> None:
    done = buildplug("rules", *words)
    assert (done.returncode, one_line(done.stderr)) == (2, f"buildplug: {said}")


@pytest.mark.parametrize("kind", FILES)
def test_the_schema_of_a_file_is_printed(kind: str) -> None:
    assert json.loads(buildplug("schema", kind).stdout) == json_schema(FILES[kind])


def test_the_schema_is_by_default_that_of_a_project() -> None:
    assert buildplug("schema").stdout == buildplug("schema", "project").stdout


def test_rules_print_the_schema_of_rules() -> None:
    assert json.loads(buildplug("rules", "schema").stdout) == json_schema(Rule)


def test_the_page_of_all_keys_is_printed() -> None:
    assert buildplug("schema", "--markdown").stdout == markdown()


def test_the_page_is_of_all_files() -> None:
    done = buildplug("schema", "rule", "--markdown")
    assert done.returncode == 2
    assert one_line(done.stderr) == "buildplug: schema: --markdown: expected no file, found rule; leave it out"
