"""Fixtures: the C of the fixup, rendered and compiled."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from buildplug.arch import x86
from buildplug.stage import render
from tests.conftest import tool
from tests.layouts import HIGH, LOW, SIZE
from tests.runtime.native import FLAGS, Native


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the generated C."""
    folder = tmp_path_factory.mktemp("runtime")
    for name, text in render.runtime(x86.X86_64, folder).items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def native(source: Path) -> Iterator[Native]:
    tool("gcc", *FLAGS, "-O2", "-shared", "-fPIC", source / "fixup.c", "-o", source / "fixup.so")
    native = Native(source / "fixup.so")
    yield native
    for address in (LOW, HIGH):
        native.unmap(address, SIZE)
