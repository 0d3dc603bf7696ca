"""buildplug rules"""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from buildplug.base import toml
from buildplug.base.errors import BuildplugError
from buildplug.cli.schema import json_schema
from buildplug.cli.shared import print_json
from buildplug.config.rule import Rule, find, find_shipped
from buildplug.tables.registry import format_of, template_of


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=["list", "show", "check", "schema"], nargs="?", default="list")
    parser.add_argument("rule", nargs="?", help="name of a rule that ships, or a TOML file")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument("--toml", action="store_true", help="with show: as a file, to start your own rule from")


def run(options: Namespace) -> None:
    alone = options.action in ("list", "schema")
    if alone and options.rule is not None:
        raise BuildplugError("rules", f"{options.action}: expected nothing after it, found {options.rule}", status=2)
    if not alone and options.rule is None:
        raise BuildplugError("rules", f"{options.action}: expected the name of a rule, found none", status=2)
    if options.toml and options.action != "show":
        raise BuildplugError("rules", f"{options.action}: expected no --toml, which is for show", status=2)
    if options.action == "schema":
        print_json(json_schema(Rule))
    elif options.action == "list":
        _list(find_shipped(), options.json)
    else:
        rule = find(options.rule, Path.cwd())
        format_of(rule)  # raises what is wrong
        template = template_of(rule)
        if options.action == "show":
            _show(rule, template, options)


def _list(rules: list[Rule], as_json: bool) -> None:
    if as_json:
        print_json({rule.name: asdict(rule) for rule in rules})
    for rule in () if as_json else rules:
        print(f"{rule.name}: {rule.about}")


def _show(rule: Rule, template: str, options: Namespace) -> None:
    if options.json:
        print_json(asdict(rule))
        return
    if options.toml:
        print(toml.dumps(rule), end="")
        return
    where = f"section {rule.section}, flags {rule.table.flags}, template {template}"
    print(f"{rule.name}: {rule.about}\ntable {rule.symbol} in {where}")
    for key, value in (asdict(rule.select) | {"sort": rule.table.sort, "runtime": rule.table.runtime}).items():
        if value and key != "members":
            words = (value,) if isinstance(value, str) else ("yes",) if value is True else value
            print(f"{key}: {' '.join(map(str, words))}")
    for member in rule.select.members if rule.select.rows == "records" else ():
        print(f"member {member.name}: {member.type}, {member.holds}, base {member.base}")
    for field in rule.table.fields:
        print(f"field {field.name}: {field.type}, {field.value}: {rule.values[field.value]}")
