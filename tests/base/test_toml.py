"""Records as TOML: read again, they are the same."""

import tomllib
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from buildplug.base.schema import convert
from buildplug.base.toml import dumps


@dataclass(frozen=True)
class Item:
    name: str
    size: int = 0


@dataclass(frozen=True)
class Plain:
    kind: Literal["plain"] = "plain"
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Listed:
    kind: Literal["listed"] = "listed"
    items: tuple[Item, ...] = ()
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    name: str
    yes: bool = False
    body: Plain | Listed = field(default_factory=Plain)
    last: Item = field(default_factory=lambda: Item("last"))


texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=6)
items = st.builds(Item, texts, st.integers(-(2**63), 2**63 - 1))
plain = st.builds(Plain, pairs=st.lists(st.tuples(texts, texts), max_size=30).map(tuple))
names = st.dictionaries(texts, texts, max_size=3)
listed = st.builds(Listed, items=st.lists(items, max_size=9).map(tuple), names=names)


@given(st.builds(Page, texts, st.booleans(), plain | listed, items))
def test_a_record_that_is_written_and_read_is_the_same(page: Page) -> None:
    assert convert(Page, tomllib.loads(dumps(page)), "f") == page


def test_what_has_its_default_is_left_out_but_not_which_record_it_is() -> None:
    assert dumps(Page("n", body=Listed())) == 'name = "n"\n\n[body]\nkind = "listed"\n'


def test_a_long_list_has_a_line_for_each_item() -> None:
    text = dumps(Page("n", body=Plain(pairs=(("a" * 50, "b" * 50),))))
    assert f'pairs = [\n    ["{"a" * 50}", "{"b" * 50}"],\n]\n' in text
