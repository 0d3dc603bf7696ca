"""Records are dataclasses to everybody who reads them."""

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import pytest

from buildplug.base.records import frozen


@frozen
class Point:
    """One of ours."""

    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)
    note: str = field(default="", compare=False)
    seen: int = field(default=0, init=False, repr=False)

    @cached_property
    def total(self) -> int:
        return self.x + self.y


@dataclass(frozen=True)
class Peer:
    """The same, by the library."""

    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)
    note: str = field(default="", compare=False)
    seen: int = field(default=0, init=False, repr=False)


@frozen(kw_only=True)
class Named:
    value: int


@pytest.mark.parametrize(
    "values, named",
    [((1,), {}), ((1, 3), {}), ((1,), {"y": 4, "note": "n"}), ((), {"x": 1}), ((1, 2, ["a"], "n"), {})],
)
def test_record_is_made_shown_and_taken_apart_as_a_dataclass_is(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    ours, peer = Point(*values, **named), Peer(*values, **named)
    assert asdict(ours) == asdict(peer)
    assert repr(ours) == repr(peer).replace("Peer", "Point")
    assert [member.name for member in fields(ours)] == [member.name for member in fields(peer)]
    assert asdict(replace(ours, y=9)) == asdict(replace(peer, y=9))


@pytest.mark.parametrize(
    "values, named",
    [((), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((1, 2, [], "", 0), {}), ((1,), {"seen": 1})],
    ids=["too few", "twice", "unknown", "too many", "not of init"],
)
def test_record_that_a_dataclass_would_refuse_is_refused(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    for cls in (Point, Peer):
        with pytest.raises(TypeError):
            cls(*values, **named)


def test_positional_value_of_a_record_by_keywords_is_refused() -> None:
    with pytest.raises(TypeError):
        Named(1)  # type: ignore[call-arg]
    assert Named(value=1).value == 1


def test_records_with_equal_values_are_equal_and_hash_alike() -> None:
    assert Named(value=1) == Named(value=1) != Named(value=2)
    assert hash(Named(value=1)) == hash(Named(value=1))
    assert Point(1, note="a") == Point(1, note="b")
    peer: object = Peer(1)
    assert Point(1) != peer


def test_record_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError, match="'x'"):
        Point(1).x = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match="'x'"):
        del Point(1).x


def test_record_remembers_what_was_computed_once() -> None:
    point = Point(1)
    assert point.total is point.total == 3


def test_record_can_be_copied_and_pickled() -> None:
    assert (
        copy.deepcopy(Point(1, names=["a"])) == pickle.loads(pickle.dumps(Point(1, names=["a"]))) == Point(1, 2, ["a"])
    )
