"""Which references a rule selects."""

from typing import Any

import pytest

from buildplug.base.errors import BuildplugError
from buildplug.image.elf import Image
from buildplug.select.references import References, extract
from tests.conftest import Link
from tests.select.kernel import CALLS, KERNEL, LEFT, found, left, rule


def names(image: Image, **select: Any) -> list[str]:
    chosen = {"functions": (), "slots": ()} | select
    return [symbol for _, _, symbol, _ in found(image, rule(leave=LEFT, **chosen))]


def test_globs_select(link: Link) -> None:
    image = link(CALLS)
    assert names(image, functions=("pv_f",)) == ["pv_f"]
    assert names(image, functions=("pv_?",)) == ["pv_f", "pv_g"]
    assert names(image, functions=("[ab]*",)) == ["before", "after"]
    assert names(image, slots=("pv_*",)) == ["pv_ops"]


def test_functions_are_no_slots_and_slots_no_functions(link: Link) -> None:
    image = link(CALLS)
    assert names(image, functions=("*",), exclude=("code",)) == ["pv_f", "pv_g", "before", "after"]
    assert names(image, slots=("*",)) == ["pv_ops", "above", "below"]


def test_what_is_excluded_is_not_selected(link: Link) -> None:
    assert names(link(CALLS), functions=("pv_*",), exclude=("*_g",)) == ["pv_f"]


def test_a_range_selects_by_address(link: Link) -> None:
    image = link(CALLS)
    assert names(image, ranges=(("pv_f", "after"),)) == ["pv_f", "pv_g"]
    start, end = (image.address_of(name) or 0 for name in ("pv_g", "after"))
    assert names(image, ranges=((hex(start), str(end)),)) == ["pv_g"]
    assert names(image, ranges=(("pv_f", "pv_g"), ("pv_ops", "below"))) == ["pv_f", "pv_ops"]


def test_a_range_without_its_bounds_is_an_error(link: Link) -> None:
    with pytest.raises(BuildplugError, match="expected a symbol or an integer, found 'nowhere'"):
        extract(link(CALLS), rule(ranges=(("nowhere", "1"),)))


def test_sections_are_chosen_and_skipped(link: Link) -> None:
    image = link(f"{KERNEL} call pv_f\n.section .rodata\n.quad pv_g")
    assert found(image, rule(sections=(".rodata",)), ".rodata") == [(0, "pointer", "pv_g", 0)]
    assert found(image, rule(sections=(".rodata",))) == []
    assert found(image, rule(skip=(".ro*",)), ".rodata") == []


def test_neighbours_of_a_slot_object_are_not_selected(link: Link) -> None:
    # the last byte of `above` and the first of `below`, with and without an immediate behind the field
    code = "\n".join(
        f"cmp{s} $1, {place}(%rip)" for s in "bwlq" for place in ("above+8", "above+15", "below", "below+1", "pv_ops-1")
    )
    image = link(f"{KERNEL}{code}\ncall *above+8(%rip)\nmov below(%rip), %rax\ncall *pv_ops+24(%rip)")
    references = extract(image, rule())
    assert [(r["addend"], references.ignored) for r in references.rows] == [(20, {})]


def test_neighbours_of_a_function_are_not_selected(link: Link) -> None:
    assert left(link(f"{KERNEL} call before\ncall after\nlea after(%rip), %rax\nmov $before, %rdi")) == {}


def test_every_word_of_a_slot_object_is_selected_whatever_alias_it_has(link: Link) -> None:
    source = KERNEL + "call *pv_ops+8(%rip)\ncall *pv_ops+24(%rip)\n"
    for alias in (
        ".globl pv_a_ops\n.set pv_a_ops, pv_ops\n.size pv_a_ops, 8",
        ".globl pv_in_ops\n.set pv_in_ops, pv_ops+8\n.size pv_in_ops, 8",
    ):
        assert len(found(link(source + alias))) == 2


def test_rows_come_in_the_order_of_places(link: Link) -> None:
    image = link(f"{KERNEL} call pv_g\ncall pv_f\n.section .rodata\n.quad pv_g, pv_f\n.text\njmp pv_f")
    rows = extract(image, rule(leave=LEFT)).rows
    places = list(zip(rows["section"].tolist(), rows["offset"].tolist(), strict=True))
    assert len(places) == 5
    assert places == sorted(places)


def test_a_rule_that_matches_nothing_is_an_error(link: Link) -> None:
    with pytest.raises(BuildplugError, match=r"rule test: expected symbols px_\*, py, found none"):
        extract(link(KERNEL), rule(functions=("px_*",), slots=("py",)))


def test_undefined_symbols_are_not_selected(link: Link) -> None:
    image = link(f"{KERNEL} call pv_f\n.weak pv_gone\ncall pv_gone")
    assert [symbol for _, _, symbol, _ in found(image)] == ["pv_f"]


def test_the_same_image_gives_the_same_rows(link: Link) -> None:
    image = link(CALLS)

    def seen(references: References) -> tuple[Any, ...]:
        return [*references.targets], references.rows.tobytes(), references.ignored

    assert seen(extract(image, rule(leave=LEFT))) == seen(extract(Image(image.path), rule(leave=LEFT)))
