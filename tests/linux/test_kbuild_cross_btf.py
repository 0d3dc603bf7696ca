"""Linux of other architectures with type information (BTF) by our link stage, as test_kbuild_btf.py for x86_64."""

import zlib
from pathlib import Path

import pytest

from buildplug.image.elf import Image
from tests import linux_cross
from tests.linux.test_kbuild_cross import check_booted, linked
from tests.linux.test_kbuild_linux import check_letters
from tests.linux_boot import boot_cross
from tests.linux_cross import BUILT, Cross
from tests.linux_image import FORMS

pytestmark = [pytest.mark.linux, pytest.mark.slow]  # Linux is compiled anew


@pytest.fixture(
    scope="module", params=(*linux_cross.LONG_TERM, *linux_cross.NEWEST),
    ids=lambda cross: f"{cross.name}-{cross.version}",
)  # fmt: skip
def cross(request: pytest.FixtureRequest) -> Cross:
    return linux_cross.typed(request.param)


def test_there_are_two_links_that_for_pahole_and_one_more(cross: Cross, tree: Path) -> None:
    assert linked(cross, tree) == [FORMS[cross.version].typed, cross.linked]


def test_letters_and_names_are_those_of_the_stock_build(tree: Path, stock: Path) -> None:
    check_letters(tree / BUILT, stock.parent)


def test_kallsyms_of_the_booted_kernel_equals_system_map(cross: Cross, tree: Path, tmp_path: Path) -> None:
    check_booted(cross, tree, tmp_path)


def test_sysfs_has_the_section_that_pahole_made(cross: Cross, tree: Path, tmp_path: Path) -> None:
    output = boot_cross(cross, tree / BUILT / cross.image, "-- crc32 /sys/kernel/btf/vmlinux", tmp_path)
    image = Image(tree / BUILT / cross.linked)
    types = image.bytes_of(image.section(".BTF")).tobytes()
    assert len(types) > 1 << 20
    assert f"{zlib.crc32(types):08x} {len(types):08x}" in output.split("\n")
