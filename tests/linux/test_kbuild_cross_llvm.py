"""Linux of another architecture that clang has compiled and lld links, by our link stage."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests import linux_cross
from tests.linux.test_kbuild_cross import (
    check_booted,
    check_expected,
    check_kallsyms,
    check_makes,
    linked,
)
from tests.linux.test_kbuild_linux import check_letters
from tests.linux_cross import BUILT, Cross

pytestmark = [pytest.mark.linux, pytest.mark.slow]  # Linux is compiled anew


@pytest.fixture(scope="module", params=linux_cross.CROSSES, ids=lambda cross: f"{cross.name}-{cross.version}")
def cross(request: pytest.FixtureRequest) -> Cross:
    found: Cross = request.param
    return replace(found, llvm="-19")


def test_there_is_one_link_and_then_none(cross: Cross, tree: Path) -> None:
    assert linked(cross, tree) == [cross.linked]
    check_makes(cross, tree)


def test_the_link_has_the_symbols_that_were_expected(cross: Cross, tree: Path) -> None:
    check_expected(cross, tree)


def test_kallsyms_are_those_of_scripts_kallsyms(cross: Cross, tree: Path, tmp_path: Path) -> None:
    check_kallsyms(cross, tree, tmp_path)


def test_letters_and_names_are_those_of_the_stock_build(tree: Path, stock: Path) -> None:
    check_letters(tree / BUILT, stock.parent)


def test_kallsyms_of_the_booted_kernel_equals_system_map(cross: Cross, tree: Path, tmp_path: Path) -> None:
    check_booted(cross, tree, tmp_path)
