"""TOML files into frozen records: unknown keys, missing keys and wrong types are errors that name the place."""

import contextlib
import dataclasses
import tomllib
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from buildplug.base.errors import BuildplugError
from buildplug.base.files import read_text
from buildplug.base.keys import OneOf, annotations, keys_of, others_of, tag_of, union_of

Record = TypeVar("Record")

_TYPES = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    tuple: "a list",
    dict: "a table",
}


def load(path: Path) -> dict[str, Any]:
    """The TOML file as a dictionary. Raises BuildplugError with the line of a syntax error."""
    try:
        return tomllib.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise BuildplugError(path, f"expected TOML 1.0, found: {error}") from None


def unknown(where: object, what: str, name: str, known: Iterable[str]) -> BuildplugError:
    """The error for a name that is none of `known`, with the nearest of them."""
    import difflib  # only for an error

    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1)
    remedy = f"did you mean '{near[0]}'?" if near else f"expected one of: {', '.join(names) or 'none'}"
    return BuildplugError(where, f"unknown {what} '{name}'", remedy)


def convert(record: type[Record], data: object, where: str, *, strict: bool = True) -> Record:
    """`data`, read from TOML, as an instance of the frozen dataclass `record`.

    `where` is the file and the path of keys so far, for messages. Fields may be str, int, bool, other dataclasses,
    unions of dataclasses that a key tells apart, tuple[T, ...] or tuple[T, T] (a list) and dict[str, T] (a table),
    annotated as keys.py says. Unless it is `strict`, keys that are not known, as a later version may have them, are
    passed over. Raises BuildplugError.
    """
    if not isinstance(data, dict):
        raise _mismatch(where, dict, data)
    kind: type = record
    hints, (others, borrowed) = keys_of(kind), others_of(kind)
    values: dict[str, Any] = {others: {}} if others else {}
    for key, value in data.items():
        if key in hints:
            values[key] = checked(hints[key], value, f"{where}: {key}", strict=strict)
        elif key in borrowed:
            values[others][key] = checked(borrowed[key], value, f"{where}: {key}", strict=strict)
        elif strict:
            raise unknown(where, "key", key, hints | borrowed)
    for field in dataclasses.fields(typing.cast(Any, record)):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in values:
            raise BuildplugError(where, f"expected the key '{field.name}', found none", f"add {field.name} = …")
    return record(**values)


def misplaced(where: object, union: dict[str, type], key: str, found: str) -> BuildplugError | None:
    """The error for a key that only other records of a union have than that of the tag `found`; else None."""
    tag = tag_of(union[found])[0]
    fitting = ", ".join(name for name, record in union.items() if key in keys_of(record))
    if key in keys_of(union[found]) or not fitting:
        return None
    return BuildplugError(where, f"{key} is for {tag} that are {fitting}, found {found}", "leave it out")


def _told_apart(union: dict[str, type], data: object, where: str, *, strict: bool) -> Any:
    """`data` as the record of a union that it says it is."""
    if not isinstance(data, dict):
        raise _mismatch(where, dict, data)
    first = next(iter(union))
    tag = tag_of(union[first])[0]
    name = checked(Annotated[str, OneOf(tag, tuple(union))], data.get(tag, first), f"{where}: {tag}")
    for key in data:
        if wrong := misplaced(where, union, key, name):
            raise wrong
    return convert(union[name], data, where, strict=strict)


def checked(hint: Any, value: Any, where: str, *, strict: bool = True) -> Any:
    """`value` as what the type `hint` says, of those that convert() knows. Raises BuildplugError."""
    hint, notes = annotations(hint)
    if notes:
        value = checked(hint, value, where, strict=strict)
        for note in notes:
            if isinstance(note, OneOf) and note.names and value not in note.names:
                raise unknown(where, note.what, value, note.names)
        return value
    if hint is Any:
        return value
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return checked(Annotated[str, OneOf("value", arguments)], value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _mismatch(where, tuple, value)
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise BuildplugError(where, f"expected a list of {len(arguments)}, found {len(value)}")
        if arguments[0] is str and all(type(item) is str for item in value) and "\0" not in "".join(value):
            return tuple(value)  # the commands in the notes of a build have thousands of words
        return tuple(checked(arguments[0], item, f"{where}[{i}]", strict=strict) for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise _mismatch(where, dict, value)
        if arguments[1] is int and all(type(item) is int for item in value.values()):
            return dict(value)
        return {key: checked(arguments[1], item, f"{where}.{key}", strict=strict) for key, item in value.items()}
    if union := union_of(hint):
        return _told_apart(union, value, where, strict=strict)
    if origin is types.UnionType:
        if type(value) in arguments:
            return value
        *others, last = [choice for choice in arguments if choice is not types.NoneType]
        for choice in others:
            with contextlib.suppress(BuildplugError):
                return checked(choice, value, where, strict=strict)
        return checked(last, value, where, strict=strict)
    if dataclasses.is_dataclass(hint):
        return convert(typing.cast(type[Any], hint), value, where, strict=strict)
    if type(value) is not hint:
        raise _mismatch(where, hint, value)
    if isinstance(value, str) and "\0" in value:
        raise BuildplugError(where, "expected text, found a zero byte in it")
    return value


def _mismatch(where: str, expected: type, found: object) -> BuildplugError:
    return BuildplugError(where, f"expected {_TYPES[expected]}, found {found!r:.60}")
