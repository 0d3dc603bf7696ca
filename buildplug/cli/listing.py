"""The commands that print what an image holds: extract, ksyms. They import what they need when they run."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildplug.base.errors import BuildplugError, printable

if TYPE_CHECKING:
    from buildplug.config.rule import Rule
    from buildplug.image.elf import Image


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))


def extract(options: argparse.Namespace) -> None:
    from buildplug.config.rule import find
    from buildplug.image.elf import Image
    from buildplug.select.rows import columns_of

    image, rule = Image(options.image), find(options.rule, Path.cwd())
    if rule.select.rows == "records":
        _print_rows(columns_of(image, rule)[0], rule.holds, options.json)
        return
    entries, left = (_relocations if rule.select.rows == "relocations" else _references)(image, rule)
    if options.json:
        print(json.dumps({"entries": entries, "left": left}))  # in one piece: indentation is slow
        return
    for entry in entries:
        where = f"{entry['address']:#x} {printable(entry['section'])}+{entry['offset']:#x}"
        print(f"{where} {entry['kind']} {entry['length']} {printable(entry['symbol'])}{entry['addend']:+#x}")
    for kind, count in left.items():
        print(f"left alone: {count} {kind}")


def _references(image: "Image", rule: "Rule") -> tuple[list[dict[str, Any]], dict[str, int]]:
    from buildplug.select.references import extract

    found = extract(image, rule)
    entries: list[dict[str, Any]] = []
    for row in found.rows.tolist():
        section, form = image.sections[row[0]], image.arch.forms[row[2]]
        entries.append({
            "section": section.name, "offset": row[1], "address": section.address + row[1], "kind": form.kind.name,
            "length": form.length, "symbol": found.targets[row[3]].name, "addend": row[5],
        })  # fmt: skip
    return entries, found.left


def _relocations(image: "Image", rule: "Rule") -> tuple[list[dict[str, Any]], dict[str, int]]:
    from buildplug.arch.field import FIELDS
    from buildplug.select.relocations import fields, places

    found = fields(image, rule)
    entries: list[dict[str, Any]] = []
    for address, row in zip(places(image, rule, found).tolist(), found.tolist(), strict=True):
        entries.append({
            "section": image.sections[row[0]].name, "offset": row[1], "address": address, "kind": FIELDS[row[2]].name,
            "length": FIELDS[row[2]].size, "symbol": image.name_of(row[4]), "addend": row[5],
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


def ksyms(options: argparse.Namespace) -> None:
    from buildplug.config.rule import find
    from buildplug.image.elf import Image
    from buildplug.runtime import ksyms as runtime_ksyms
    from buildplug.tables.ksyms import collected

    image = Image(options.image)
    if options.format == "kallsyms" and not options.query:
        _kallsyms(image, find(options.rule or "linux-kallsyms", Path.cwd()))
        return
    table = collected(image, find(options.rule or "ksyms", Path.cwd()), 0)
    for query in options.query:
        if query.startswith("0x"):
            found = [runtime_ksyms.format_address(table, 0, _address(query))]
        else:
            found = [
                b"%#x %s" % (s.address, s.type.encode()) for s in runtime_ksyms.lookup(table, 0, os.fsencode(query))
            ]
        if not found:
            raise image.bad(f"expected a symbol {query}, found none", "list them without a query")
        for line in found:
            print(printable(line.decode(errors="backslashreplace")))
    if options.query:
        return
    symbols = [runtime_ksyms.symbol(table, 0, index) for index in range(len(table.rows))]
    symbols.sort(key=lambda symbol: (symbol.address, symbol.name))
    rows = [(s.address, s.size, s.type, s.name.decode(errors="backslashreplace")) for s in symbols]
    if options.format == "json":
        print_json([{"address": a, "size": size, "type": kind, "name": name} for a, size, kind, name in rows])
        return
    digits = image.arch.bits // 4
    for address, size, kind, name in rows:
        extent = f" {size:0{digits}x}" if size and options.format == "nm" else ""
        print(f"{address:0{digits}x}{extent} {kind} {printable(name)}")


def _kallsyms(image: "Image", rule: "Rule") -> None:
    from buildplug.stage.render import render
    from buildplug.tables.kallsyms import kallsyms_of
    from buildplug.tables.kallsyms_format import assembly

    text = image.address_of("_text")
    if text is None:
        raise image.bad("expected the symbol _text, found none", "define it where the kernel starts")
    sys.stdout.write(render("kallsyms.S.j2", Path.cwd(), **assembly(kallsyms_of(image, rule), text)))


def _address(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        raise BuildplugError("ksyms", f"expected an address, found {text!r}", status=2) from None
