"""The JSON schemas and the page of all keys, beside what reads the files."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from buildplug.base.data import rules
from buildplug.base.errors import BuildplugError
from buildplug.base.schema import convert
from buildplug.cli.schema import FILES, RENEW, json_schema, markdown
from tests.samples import SAMPLE

TABLE = '[[table]]\nrule = "ksyms"\n'
RULE = 'name = "r"\nabout = "of the tests"\n[select]\nfunctions = ["f"]\n'
OPS = '[ops.a]\nfunction = "f"\n[backends.b]\na = { nothing = true }\n'


def accepts(kind: str, data: dict[str, Any]) -> bool:
    """Whether the schema accepts a file. Fails the test unless its record is of the same opinion."""
    valid = not list(Draft202012Validator(json_schema(FILES[kind])).iter_errors(data))
    try:
        convert(FILES[kind], data, kind)
    except BuildplugError as error:
        assert not valid, error
    else:
        assert valid
    return valid


@pytest.mark.parametrize("kind", FILES)
def test_a_schema_is_one_of_its_draft(kind: str) -> None:
    Draft202012Validator.check_schema(json_schema(FILES[kind]))


@pytest.mark.parametrize("path", rules().values(), ids=lambda path: path.stem)
def test_a_rule_that_ships_fits_its_schema(path: Path) -> None:
    assert accepts("rule", tomllib.loads(path.read_text()))


@pytest.mark.parametrize(
    "path", [path for path in SAMPLE.rglob("*.toml") if "build" not in path.parts], ids=lambda path: path.name
)
def test_a_file_of_the_sample_kernel_fits_its_schema(path: Path) -> None:
    data = tomllib.loads(path.read_text())
    assert accepts("ops" if "ops" in data else "project", data)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("project", TABLE + 'exclude = ["f"]\nby_name = false\nfixed = { ".data" = "" }'),
        ("project", '[link]\ninto = "> rom"'),
        ("rule", RULE + 'rows = "references"\nranges = [["a", "0x10"]]'),
        ("rule", RULE + 'rows = "symbols"\nuntyped = true\n[table]\nflags = "aw"\nformat = "ksyms"'),
        ("ops", OPS + '[groups.g]\nops = ["a"]'),
    ],
)
def test_a_file_that_is_right_fits_its_schema(kind: str, text: str) -> None:
    assert accepts(kind, tomllib.loads(text))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("project", "[[table]]"),
        ("project", TABLE + 'excludes = ["f"]'),
        ("project", TABLE + 'exclude = "f"'),
        ("project", TABLE + 'kinds = ["cal"]'),
        ("project", TABLE + 'rows = "symbols"'),
        ("project", TABLE + "adjust = {}"),
        ("project", '[kernel]\narch = "pdp11"'),
        ("project", "[link]\nkeep_relocations = 1"),
        ("rule", 'name = "r"'),
        ("rule", RULE + 'rows = "symbol"'),
        ("rule", RULE + "untyped = true"),
        ("rule", RULE + 'rows = "symbols"\nkinds = ["call"]'),
        ("rule", RULE + 'ranges = [["a"]]'),
        ("rule", RULE + 'leave = ["inside"]'),
        ("rule", RULE + '[table]\nflags = "ax"'),
        ("rule", RULE + '[table]\nfields = [{ name = "f", type = "u3", value = "site" }]'),
        ("ops", "[ops]"),
        ("ops", OPS + "b = { nothin = true }"),
        ("ops", OPS + "[groups.g]"),
    ],
)
def test_a_file_that_is_wrong_does_not_fit_its_schema(kind: str, text: str) -> None:
    assert not accepts(kind, tomllib.loads(text))


@pytest.mark.parametrize("kind", FILES)
def test_every_key_and_table_is_explained(kind: str) -> None:
    def check(schema: dict[str, Any], path: str) -> None:
        for key, value in schema.get("properties", {}).items():
            said = value if "oneOf" not in value else value["oneOf"][0]
            assert said.get("description") or "items" in said or "additionalProperties" in said, f"{path}.{key}"
        for inner in (*schema.get("properties", {}).values(), *schema.get("oneOf", ())):
            check(inner, path)
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                check(schema[key], f"{path}[]")

    check(json_schema(FILES[kind]), kind)


def test_the_page_of_all_keys_is_that_of_the_records() -> None:
    page = SAMPLE.parent / "docs" / "configuration.md"
    assert page.read_text() == markdown(), f"renew it: {RENEW}"
