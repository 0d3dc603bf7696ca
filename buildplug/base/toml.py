"""Writes frozen records as TOML, which schema.py reads back as equal records."""

import dataclasses
import json
import re
from typing import Any

from buildplug.base.keys import tag_of

WIDTH = 100  # columns; a longer list gets a line for each item


def dumps(record: Any) -> str:
    """The text of a TOML file with the record, without the keys that have their default."""
    values = _plain(record)
    lines = [_line(key, value) for key, value in values.items() if not isinstance(value, dict)]
    for name, table in values.items():
        if isinstance(table, dict) and table:
            lines += ["", f"[{_key(name)}]", *(_line(key, value) for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> Any:
    """Records as dictionaries, of the values that are not the default and of the tag of a union."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        values = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        defaults = {field.name: _default(field) for field in dataclasses.fields(value)}
        tag, _ = tag_of(type(value))
        return {name: _plain(values[name]) for name in values if name == tag or values[name] != defaults[name]}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _default(field: "dataclasses.Field[Any]") -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _line(key: str, value: Any) -> str:
    line = f"{_key(key)} = {_inline(value)}"
    if isinstance(value, list) and len(line) > WIDTH:
        return "\n".join([f"{_key(key)} = [", *(f"    {_inline(item)}," for item in value), "]"])
    return line


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_inline(item)}' for key, item in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML, unlike JSON, escapes DEL


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name, re.ASCII) else _inline(name)
