"""The linker's map that a build leaves (CONFIG_VMLINUX_MAP), beside that of the stock build."""

import re
from collections.abc import Iterable
from difflib import unified_diff
from pathlib import Path

import pytest

from tests import linux_image
from tests.conftest import tool
from tests.linux_image import FIXED
from tests.samples import buildplug

pytestmark = [pytest.mark.linux, pytest.mark.slow]  # what names the time of the build is compiled anew, in a tree
ADDRESS = re.compile(r"0x[0-9a-f]{16}")
TABLES = re.compile(r"kallsyms|\*fill\*|^\.rodata  ")  # what is of the tables, or has another size for them


def without_tables(linker_map: str) -> Iterable[str]:
    """The lines of a map without addresses, and without what is of kallsyms or around it."""
    for line in linker_map.splitlines():
        text = ADDRESS.sub("", line).strip()
        if text and not TABLES.search(text):
            yield text


@pytest.mark.parametrize("linux", [linux_image.LONG_TERM], ids=lambda linux: linux.stage.version, indirect=True)
def test_the_map_is_that_of_the_stock_build_but_for_the_tables(
    linux: linux_image.Linux, linux_tree: Path, tmp_path: Path
) -> None:
    tree = linux_image.copy(linux_tree, tmp_path / "linux")
    tool("scripts/config", "-e", "VMLINUX_MAP", cwd=tree)
    tool("make", "olddefconfig", cwd=tree)
    tool("make", *FIXED, "vmlinux", cwd=tree)
    stock = (tree / "vmlinux.map").read_text()
    (tree / "vmlinux.map").unlink()
    done = buildplug("kbuild", tree, "--", *FIXED, "vmlinux")
    assert done.returncode == 0, done.stdout + done.stderr
    ours = (tree / "vmlinux.map").read_text()
    expected, found = list(without_tables(stock)), list(without_tables(ours))
    changes = [*unified_diff(expected, found, n=0, lineterm="")][2:]
    # An empty section of relocations of the tables, and what says where the section is that they count from.
    assert [line for line in changes if line[0] != "@"] == ["+0x0 vmlinux.o", "+LOAD vmlinux.buildplug/gen/anchors.lds"]
    assert len(expected) > 30_000
    listed = {(int(at, 16), name) for at, _, name in map(str.split, (tree / "System.map").read_text().splitlines())}
    said = {(int(at, 16), name) for at, name in re.findall(r"^ +(0x[0-9a-f]{16}) +(\w+)$", ours, re.MULTILINE)}
    named = {name for _, name in listed}
    assert {row for row in said - listed if row[1] in named} == set()
    assert len(said & listed) > 10_000
