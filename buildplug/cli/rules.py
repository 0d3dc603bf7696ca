"""buildplug rules"""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from buildplug.base.errors import BuildplugError
from buildplug.cli.shared import print_json
from buildplug.config.rule import find, find_shipped
from buildplug.tables.registry import template_of


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=["list", "show", "check"], nargs="?", default="list")
    parser.add_argument("rule", nargs="?", help="name of a rule that ships, or a TOML file")
    parser.add_argument("--json", action="store_true")


def run(options: Namespace) -> None:
    if options.action == "list":
        if options.rule is not None:
            raise BuildplugError("rules", f"list: expected nothing behind it, found {options.rule}", status=2)
        rules = find_shipped()
        if options.json:
            print_json({rule.name: asdict(rule) for rule in rules})
        for rule in () if options.json else rules:
            print(f"{rule.name}: {rule.about}")
        return
    if options.rule is None:
        raise BuildplugError("rules", f"{options.action}: expected the name of a rule, found none", status=2)
    rule = find(options.rule, Path.cwd())
    if options.action == "show" and options.json:
        print_json(asdict(rule))
    elif options.action == "show":
        where = f"section {rule.section}, flags {rule.table.flags}, template {template_of(rule)}"
        print(f"{rule.name}: {rule.about}\ntable {rule.symbol} in {where}")
        for key, value in (asdict(rule.select) | {"sort": rule.table.sort, "runtime": rule.table.runtime}).items():
            if value and key != "members":
                words = (value,) if isinstance(value, str) else ("yes",) if value is True else value
                print(f"{key}: {' '.join(map(str, words))}")
        for member in rule.select.members if rule.select.rows == "records" else ():
            print(f"member {member.name}: {member.type}, {member.holds}, base {member.base}")
        for field in rule.table.fields:
            print(f"field {field.name}: {field.type}, {field.value}: {rule.values[field.value]}")
