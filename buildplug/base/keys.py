"""The keys that a record has in a TOML file, and their annotations.

`Annotated[T, "one sentence"]` documents a key, in the JSON schema and the documentation; OneOf and KeysOf restrict its
values. schema.py reads files by them.
"""

import dataclasses
import functools
import types
import typing
from typing import Any, Literal

from buildplug.base.records import frozen


@frozen
class OneOf:
    """Annotates a string that is one of `names`. `what` describes it in messages. Without names, the code that uses
    the string checks it."""

    what: str
    names: tuple[str, ...] = ()


@frozen
class KeysOf:
    """Annotates a dictionary that collects keys of `records`, which in the file are beside those of its own record."""

    records: tuple[type, ...]


def annotations(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type of a hint, and its annotations."""
    if typing.get_origin(hint) is typing.Annotated:
        return typing.get_args(hint)[0], hint.__metadata__
    return hint, ()


@functools.cache
def keys_of(record: type) -> dict[str, Any]:
    """The keys of a record: name -> annotated type."""
    return {name: hint for name, hint in _fields(record).items() if not _borrowed(hint)}


@functools.cache
def others_of(record: type) -> tuple[str, dict[str, Any]]:
    """The field of a record that KeysOf annotates, and its keys: name -> type. The field is empty if there is none.

    If several records have a key, the first one's type counts. Tags (see tag_of) are omitted.
    """
    for name, hint in _fields(record).items():
        if records := _borrowed(hint):
            keys = [(key, hint) for other in records for key, hint in keys_of(other).items() if key != tag_of(other)[0]]
            return name, dict(reversed(keys))
    return "", {}


@functools.cache
def tag_of(record: type) -> tuple[str, str]:
    """The tag of a record in a union: the key whose type is a Literal, and its value; both empty if there is none."""
    for name, hint in _fields(record).items():
        if typing.get_origin(kind := annotations(hint)[0]) is Literal:
            return name, typing.get_args(kind)[0]
    return "", ""


def union_of(hint: Any) -> dict[str, type]:
    """The records of a union by the values of their tags; empty if it is no union. A file without the tag means the
    first."""
    choices = typing.get_args(hint) if typing.get_origin(hint) is types.UnionType else ()
    records = [choice for choice in choices if isinstance(choice, type) and dataclasses.is_dataclass(choice)]
    return {tag_of(record)[1]: record for record in records if tag_of(record)[0]}


@functools.cache
def _fields(record: type) -> dict[str, Any]:
    hints = typing.get_type_hints(record, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(record)}


def _borrowed(hint: Any) -> tuple[type, ...]:
    return next((note.records for note in annotations(hint)[1] if isinstance(note, KeysOf)), ())
