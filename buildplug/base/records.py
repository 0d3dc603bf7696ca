"""Frozen records: dataclasses that are quick to define.

dataclasses.dataclass() compiles the text of six methods for each class, which for the records of a program takes longer
than a link of a small kernel. Records share their methods instead. For everybody else, dataclasses.fields(), replace()
and asdict() among them, they are dataclasses.
"""

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform, overload

Record = TypeVar("Record")


@overload
def frozen(cls: type[Record], /) -> type[Record]: ...
@overload
def frozen(*, kw_only: bool = False) -> Callable[[type[Record]], type[Record]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(Field, field))
def frozen(cls: type[Any] | None = None, /, *, kw_only: bool = False) -> Any:
    """As @dataclass(frozen=True, kw_only=kw_only)."""
    if cls is None:
        return lambda cls: _record(cls, kw_only)
    return _record(cls, False)


def _record(cls: type[Any], kw_only: bool) -> Any:
    for method in _METHODS:
        if method.__name__ not in cls.__dict__:
            setattr(cls, method.__name__, method)
    made: Any = dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
    made.__fields__ = fields(made)  # to find them takes as long as the rest of __init__()
    return made


def __init__(self: Any, *values: Any, **named: Any) -> None:
    cls = type(self)
    if len(values) > len(cls.__match_args__):
        raise TypeError(f"{cls.__name__}() takes {len(cls.__match_args__)} positional arguments, not {len(values)}")
    for name, value in zip(cls.__match_args__, values, strict=False):
        if name in named:
            raise TypeError(f"{cls.__name__}() got {name!r} twice")
        named[name] = value
    for member in self.__fields__:
        if member.init and member.name in named:
            value = named.pop(member.name)
        elif member.default is not MISSING:
            value = member.default
        elif member.default_factory is not MISSING:
            value = member.default_factory()
        else:
            raise TypeError(f"{cls.__name__}() lacks {member.name!r}")
        self.__dict__[member.name] = value
    if named:
        raise TypeError(f"{cls.__name__}() has no {', '.join(map(repr, named))}")


def __repr__(self: Any) -> str:
    said = (f"{member.name}={getattr(self, member.name)!r}" for member in self.__fields__ if member.repr)
    return f"{type(self).__qualname__}({', '.join(said)})"


def __eq__(self: Any, other: object) -> bool:
    return _compared(self) == _compared(other) if type(other) is type(self) else NotImplemented


def __hash__(self: Any) -> int:
    return hash(_compared(self))


def __setattr__(self: Any, name: str, value: Any) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def __delattr__(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _compared(record: Any) -> tuple[Any, ...]:
    return tuple(getattr(record, member.name) for member in record.__fields__ if member.compare)


_METHODS = (__init__, __repr__, __eq__, __hash__, __setattr__, __delattr__)
