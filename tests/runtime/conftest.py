"""Fixtures: the fixup in C and in Rust, rendered and compiled."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildplug.arch import x86
from buildplug.config.ops import Op, Ops
from buildplug.config.rule import find
from buildplug.stage import render
from tests.conftest import tool
from tests.layouts import HIGH, LOW, SIZE
from tests.runtime.native import FLAGS, Native
from tests.runtime.rust import CHECKED

OPS = Ops({"op": Op("pv_op")}, {"native": {}})  # of the module; those of a table are in its layout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the generated C and Rust."""
    folder = tmp_path_factory.mktemp("runtime")
    made = render.runtime(x86.X86_64, folder) | render.rust(x86.X86_64, find("paravirt", folder), folder, OPS)
    for name, text in made.items():
        (folder / name).write_text(text)
    return folder


LIBRARIES = {
    "c": ("gcc", *FLAGS, "-O2", "-shared", "-fPIC", "fixup.c", "-o", "c.so"),
    "rust": ("rustc", *CHECKED, "--crate-type", "cdylib", "fixup_host.rs", "-o", "rust.so"),
}


@pytest.fixture(scope="module", params=LIBRARIES)
def native(source: Path, request: pytest.FixtureRequest) -> Iterator[Native]:
    shutil.copy(Path(__file__).with_name("fixup_host.rs"), source)
    tool(*LIBRARIES[request.param], cwd=source)
    native = Native(source / f"{request.param}.so")
    yield native
    for address in (LOW, HIGH):
        native.unmap(address, SIZE)
