"""buildplug schema: every key of the files that a user writes, out of the records that they are read into."""

import dataclasses
import json
import sys
import types
import typing
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any, Literal

from buildplug.base.errors import BuildplugError
from buildplug.base.keys import OneOf, annotations, keys_of, others_of, tag_of, union_of
from buildplug.cli.shared import print_json
from buildplug.config.ops import Ops
from buildplug.config.project import File
from buildplug.config.rule import Rule
from buildplug.config.select import References, Relocations, Symbols
from buildplug.tables.registry import FORMATS

FILES: dict[str, type] = {"project": File, "rule": Rule, "ops": Ops}
RENEW = "buildplug schema --markdown > docs/configuration.md"
ADJUSTS = "in place of what the rule says"
NAMES = {"format": tuple(FORMATS)}  # of OneOf that knows none
TYPES = {str: "string", int: "integer", bool: "boolean"}
WORDS = {"string": "string", "integer": "integer", "boolean": "true or false", "object": "table"}
TITLES = {"project": "buildplug.toml", "rule": "Rules", "ops": "Ops files"}
INTRODUCTION = f"""# Configuration

Three kinds of TOML files: `buildplug.toml` says what to build, a rule what a table is made of, and an ops file which
operations a kernel has and what implements them. Names of symbols and sections are globs, with `*`, `?` and `[]`.

`buildplug schema project`, `rule` and `ops` print the JSON schema of each kind, by which editors complete keys and mark
mistakes. For those that use taplo (VS Code by the extension Even Better TOML, Helix, Neovim), the first line of a file
names its schema:

```
$ buildplug schema rule > rule.schema.json
$ head -1 irqs.toml
#:schema ./rule.schema.json
```

This page is generated from what reads the files: `{RENEW}` renews it.
"""


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", choices=list(FILES), nargs="?", help="default: project, which is buildplug.toml")
    parser.add_argument("--markdown", action="store_true", help="all of them as a page, which is docs/configuration.md")


def run(options: Namespace) -> None:
    if options.markdown and options.file:
        raise BuildplugError("schema", f"--markdown: expected no file, found {options.file}", "leave it out", status=2)
    if options.markdown:
        sys.stdout.write(markdown())
    else:
        print_json(json_schema(FILES[options.file or "project"]))


def json_schema(record: type) -> dict[str, Any]:
    """The JSON schema, draft 2020-12, of the file that is read into a record."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | _object(record)


def _object(record: type, *needed: str) -> dict[str, Any]:
    """The schema of a record's table, which must have the keys `needed`, and those without a default."""
    properties, required = {}, list(needed)
    for field in dataclasses.fields(record):
        if field.name in keys_of(record):
            properties[field.name] = _schema(keys_of(record)[field.name]) | _default(field)
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                required.append(field.name)
    adjusts = {key: _schema(hint) | {"$comment": ADJUSTS} for key, hint in others_of(record)[1].items()}
    return {
        "description": " ".join((record.__doc__ or "").split()),
        "type": "object",
        "properties": adjusts | properties,
        "required": required,
        "additionalProperties": False,
    }


def _default(field: "dataclasses.Field[Any]") -> dict[str, Any]:
    known = field.default not in (dataclasses.MISSING, None, "")
    return {"default": list(field.default) if isinstance(field.default, tuple) else field.default} if known else {}


def _schema(hint: Any) -> dict[str, Any]:
    """The schema of a type as convert() reads it."""
    hint, notes = annotations(hint)
    made = _type(hint)
    for note in notes:
        made |= {"enum": list(note.names or NAMES[note.what])} if isinstance(note, OneOf) else {"description": note}
    return made


def _type(hint: Any) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if union := union_of(hint):
        first, *others = union.values()
        return {"oneOf": [_object(first), *(_object(record, tag_of(record)[0]) for record in others)]}
    if origin is types.UnionType:
        choices = [_type(choice) for choice in arguments if choice is not types.NoneType]
        return {"anyOf": choices} if len(choices) > 1 else choices[0]
    if origin is Literal:
        return {"const": arguments[0]}
    if origin is tuple:
        count = {} if arguments[-1] is Ellipsis else {"minItems": len(arguments), "maxItems": len(arguments)}
        return {"type": "array", "items": _schema(arguments[0])} | count
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1])}
    return _object(hint) if isinstance(hint, type) and dataclasses.is_dataclass(hint) else {"type": TYPES[hint]}


def markdown() -> str:
    """Every key of every file, as a page."""
    parts = [INTRODUCTION]
    for name, record in FILES.items():
        parts += [f"## {TITLES[name]}\n", *_section("", _object(record), [])]
        parts += _values() if record is Rule else []
    return "\n".join(parts)


def _section(path: str, schema: dict[str, Any], seen: list[dict[str, Any]]) -> Iterator[str]:
    """The text of the table at a path of keys, and of those in it that are not `seen` yet."""
    seen.append(schema)
    yield schema["description"] + "\n"
    keys = {key: value for key, value in schema["properties"].items() if "$comment" not in value}
    rows = [_row(key, value, key in schema["required"]) for key, value in keys.items() if _has_row(value)]
    if rows:
        yield "\n".join(["| key | value | default | meaning |", "| --- | --- | --- | --- |", *rows, ""])
    for key, value in keys.items():
        yield from _tables(f"{path}.{key}".lstrip("."), value, seen)


def _tables(path: str, schema: dict[str, Any], seen: list[dict[str, Any]]) -> Iterator[str]:
    """The text of the tables that a key may hold."""
    if "properties" in schema and schema not in seen:
        yield f"### `[{path}]`\n"
        yield from _section(path, schema, seen)
    for choice in schema.get("oneOf", ()):
        tag, name = next((key, value["const"]) for key, value in choice["properties"].items() if "const" in value)
        yield f'### `[{path}]` with `{tag} = "{name}"`\n'
        yield from _section(path, choice, seen)
    if "properties" in schema.get("items", {}):
        yield f"### `[[{path}]]`\n"
        yield from _section(path, schema["items"], seen)
    if isinstance(inner := schema.get("additionalProperties"), dict):
        yield from _tables(f"{path}.NAME", inner, seen)


def _has_row(schema: dict[str, Any]) -> bool:
    return "description" in schema and "properties" not in schema


def _row(key: str, schema: dict[str, Any], required: bool) -> str:
    usual = schema.get("default", [])
    every = usual and usual == schema.get("items", {}).get("enum")
    shown = "required" if required else "all" if every else f"`{json.dumps(usual)}`" if usual != [] else ""
    return f"| `{key}` | {_value(schema)} | {shown} | {schema['description']} |"


def _value(schema: dict[str, Any]) -> str:
    """What a key takes, in a few words."""
    names = [schema["const"]] if "const" in schema else schema.get("enum", ())
    if names:
        return ", ".join(f"`{name}`" for name in names)
    if "anyOf" in schema:
        return " or ".join(map(_value, schema["anyOf"]))
    if schema["type"] == "array":
        item = _value(schema["items"])
        fixed = ", ".join([item] * schema.get("minItems", 0))
        return f"[{fixed}]" if fixed else f"list of {item}{'s' * item.isalpha()}"
    return WORDS[schema["type"]]


def _values() -> Iterator[str]:
    """What a field of a row may hold, by the kind of rows."""
    for kind in (References, Symbols, Relocations):
        rows = [f"| `{name}` | {value.holds} | {value.about} |" for name, value in kind.values.items()]
        yield f"### Values of rows that are {kind.rows}\n"
        yield "\n".join(["| value | what | meaning |", "| --- | --- | --- |", *rows, ""])
