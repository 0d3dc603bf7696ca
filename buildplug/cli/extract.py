"""buildplug extract"""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from buildplug.arch.field import FIELDS
from buildplug.base.errors import printable
from buildplug.config.rule import Rule, find
from buildplug.image.elf import Image
from buildplug.select import references, relocations
from buildplug.select.rows import columns_of


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("image", type=Path, help="linked with --emit-relocs")
    parser.add_argument("--rule", required=True, help="name of a rule that ships, or a TOML file")
    parser.add_argument("--json", action="store_true", help="one object: entries, ignored; or rows")


def run(options: Namespace) -> None:
    image, rule = Image(options.image), find(options.rule, Path.cwd())
    if rule.select.rows in ("records", "symbols"):
        _print_rows(columns_of(image, rule)[0], rule.holds, options.json)
        return
    entries, ignored = (_relocations if rule.select.rows == "relocations" else _references)(image, rule)
    if options.json:
        print(json.dumps({"entries": entries, "ignored": ignored}))  # in one piece: indentation is slow
        return
    for entry in entries:
        where = f"{entry['address']:#x} {printable(entry['section'])}+{entry['offset']:#x}"
        print(f"{where} {entry['kind']} {entry['length']} {printable(entry['symbol'])}{entry['addend']:+#x}")
    for kind, count in ignored.items():
        print(f"ignored: {count} {kind}")


def _references(image: Image, rule: Rule) -> tuple[list[dict[str, Any]], dict[str, int]]:
    found = references.extract(image, rule)
    entries: list[dict[str, Any]] = []
    starts, names = image.addresses[found.rows["section"]], found.targets.names(found.rows["target"]).tolist()
    for row, start, name in zip(found.rows.tolist(), starts.tolist(), names, strict=True):
        form = image.arch.forms[row[2]]
        entries.append({
            "section": image.sections.names[row[0]], "offset": row[1], "address": start + row[1],
            "kind": form.kind.name, "length": form.length, "symbol": name, "addend": row[5],
        })  # fmt: skip
    return entries, found.ignored


def _relocations(image: Image, rule: Rule) -> tuple[list[dict[str, Any]], dict[str, int]]:
    found = relocations.fields(image, rule)
    entries: list[dict[str, Any]] = []
    addresses, names = relocations.places(image, rule, found).tolist(), image.names_of(found["symbol"])
    for address, row, name in zip(addresses, found.tolist(), names, strict=True):
        entries.append({
            "section": image.sections.names[row[0]], "offset": row[1], "address": address, "kind": FIELDS[row[2]].name,
            "length": FIELDS[row[2]].size, "symbol": name, "addend": row[5],
        })  # fmt: skip
    return entries, {}


def _print_rows(columns: dict[str, Any], holds: dict[str, str], as_json: bool) -> None:
    """Rows of a table, by the columns of their values."""
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]
    if as_json:
        print(json.dumps({"rows": rows}))
    for row in () if as_json else rows:
        shown = [f"{name}={value:#x}" if holds[name] == "address" else f"{name}={value}" for name, value in row.items()]
        print(printable(" ".join(shown)))
