"""Fixtures: a cross-built Linux by its own link stage, and by ours."""

import os
from pathlib import Path

import pytest

from tests.conftest import small_cross
from tests.linux_cross import BUILT, CROSSES, Cross, cached, copy, prepare
from tests.samples import buildplug, logging_tool


@pytest.fixture(scope="module")
def stock(cross: Cross) -> Path:
    """The image of a variant that Linux's own stage has built; where that version is tested at all."""
    small_cross(next(one for one in CROSSES if (one.name, one.version) == (cross.name, cross.version)))
    return cached(cross) or prepare(cross)


@pytest.fixture(scope="module")
def tree(cross: Cross, stock: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kbuilt(cross, stock, tmp_path_factory.mktemp("kbuild"))


def kbuilt(cross: Cross, image: Path, folder: Path) -> Path:
    """A copy of the cached tree, its Image built with our stage; the linker's runs in ld.log."""
    tree = copy(image.parent.parent, folder / "linux")
    logging_tool(folder / cross.ld, cross.ld, folder / "ld.log")
    (tree / BUILT / cross.linked).unlink()
    done = buildplug("kbuild", tree, "--", *cross.words, "Image", env={"PATH": f"{folder}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "RELINK" not in done.stderr
    return tree
