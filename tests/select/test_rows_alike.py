"""Rows that two images have in some sections, as the proof of tables compares them."""

from dataclasses import replace
from pathlib import Path

import pytest

from buildplug.config.rule import find
from buildplug.select.rows import same_rows
from tests.conftest import Link
from tests.select.kernel import KERNEL, rule

OWN = '.section own, "a"; .globl own_start; own_start: .quad {}; .text; call pv_f'


@pytest.mark.parametrize(("skip", "alike"), [((), False), (("own",), True)], ids=["selected", "skipped"])
def test_reference_in_a_section_counts_if_the_rule_selects_it(link: Link, skip: tuple[str, ...], alike: bool) -> None:
    one, other = (link(f"{KERNEL} {OWN.format(name)}") for name in ("pv_f", "pv_g"))
    selecting = replace(rule(), select=replace(rule().select, skip=skip))
    assert same_rows(one, other, selecting, ["own"]) == alike
    assert same_rows(one, one, selecting, ["own"])


@pytest.mark.parametrize(("name", "alike"), [("pv_g", True), ("pv_g - .", False)], ids=["value", "encoding"])
def test_field_in_a_section_counts_by_its_place_and_encoding(link: Link, name: str, alike: bool) -> None:
    one, other = (link(f"{KERNEL} {OWN.format(name)}") for name in ("pv_f", name))
    assert same_rows(one, other, find("relocs", Path()), ["own"]) == alike
