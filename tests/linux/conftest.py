"""Fixtures: a cross-built Linux by its own link stage, and by ours."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from buildplug.base.data import build_system
from buildplug.config.project import read
from buildplug.image.elf import Image
from buildplug.image.symbols import letters
from buildplug.linker import family, script
from buildplug.linux.versions import LinkStage
from buildplug.select.symbols import selected
from buildplug.stage.forecast import forecast
from buildplug.tables.kallsyms import KallsymsTable
from buildplug.tables.registry import format_of
from tests.conftest import small_cross
from tests.linux_cross import BUILT, CROSSES, Cross, cached, copy, prepare
from tests.samples import buildplug, logging_tool


@contextmanager
def folder(factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A temporary folder for a tree of Linux. It is removed: a tree takes two gigabytes."""
    made = factory.mktemp("kbuild")
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def stock(cross: Cross) -> Path:
    """The image of a variant that Linux's own stage has built; where that version is tested at all."""
    small_cross(next(one for one in CROSSES if (one.name, one.version) == (cross.name, cross.version)))
    return cached(cross) or prepare(cross)


@pytest.fixture(scope="module")
def tree(cross: Cross, stock: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with folder(tmp_path_factory) as made:
        yield kbuilt(cross, stock, made)


def kbuilt(cross: Cross, image: Path, folder: Path) -> Path:
    """A copy of the cached tree, its Image built with our stage; the linker's runs in ld.log."""
    tree = copy(image.parent.parent, folder / "linux")
    logging_tool(folder / cross.ld, cross.ld, folder / "ld.log")
    (tree / BUILT / cross.linked).unlink()
    done = buildplug("kbuild", tree, "--", *cross.words, "Image", env={"PATH": f"{folder}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "RELINK" not in done.stderr
    return tree


def check_forecast(form: LinkStage, image: Path, linker_script: str, ld: str, *, shared: bool = False) -> None:
    """Fails unless the symbols that are expected before the link of an image are, with their letters, those that it
    has, also as kallsyms has them: then the names need not be encoded a second time."""
    linked, built = Image(image), image.parent
    config = read(build_system(form.kallsyms), arch=linked.arch.name)
    placement = script.place(config, [built / linker_script], [built])
    inputs = [built / name for name in ("vmlinux.o", ".vmlinux.export.o", "init/version-timestamp.o")]
    rules = [table.rule for table in config.tables]
    expected = forecast(inputs, placement, rules, family.of(ld), shared=shared)
    said, found = (
        Counter(zip(map(chr, letters(one)[chosen].tolist()), one.names_of(chosen), strict=True))
        for one in (expected, linked) for chosen in (selected(one, rules[0]),)
    )  # fmt: skip
    assert said - found == Counter()
    assert found - said == Counter()
    assert found.total() > 10_000
    one, other = (format_of(rules[0]).make(image, rules[0], None)[0] for image in (expected, linked))
    assert isinstance(one, KallsymsTable)
    assert isinstance(other, KallsymsTable)
    assert one.symbols == other.symbols
