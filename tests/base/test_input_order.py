"""The order in which inputs are met: shuffled when it is asked for, and then without an effect on what is found."""

from pathlib import Path

import pytest

from buildplug.base import input_order
from buildplug.image.elf import Image
from tests.conftest import Link

SOURCE = ".globl f; f: " + "".join(f"l{n}: call g{n}; g{n}: .quad f + {n}; " for n in range(40))


@pytest.fixture
def image(link: Link) -> Path:
    return link(SOURCE).path


def references(path: Path) -> list[list[tuple[int, int, str, int]]]:
    """The relocations of an image, with the names of their symbols."""
    image = Image(path)
    names, rows = image.names, image.relocations().tolist()
    sections = sorted({row[0] for row in rows})
    return [[(at, kind, names[n], addend) for home, at, kind, n, addend in rows if home == s] for s in sections]


def test_nothing_is_shuffled_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(input_order.VARIABLE, raising=False)
    assert input_order.in_order(range(100)) == list(range(100))


def test_symbols_and_relocations_come_in_another_order_and_are_the_same(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, plain = Image(image).names, references(image)
    monkeypatch.setenv(input_order.VARIABLE, "1")
    assert Image(image).names != names
    assert sorted(Image(image).names) == sorted(names)
    shuffled = references(image)
    assert shuffled != plain
    assert [sorted(rows) for rows in shuffled] == [sorted(rows) for rows in plain]


def test_the_same_text_makes_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = []
    for text in ("1", "1", "2"):
        monkeypatch.setenv(input_order.VARIABLE, text)
        orders.append(input_order.in_order(range(100)))
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[2]) == list(range(100))
