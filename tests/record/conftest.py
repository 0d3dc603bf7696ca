"""Fixtures: a kernel that was built, its record and its page; two links that differ."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from buildplug.record import report
from buildplug.record.build import RECORD
from tests.conftest import SCRIPT, tool
from tests.record.pages import HOSTILE, Links
from tests.samples import built as build
from tests.samples import copy_sample


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kernel that has been built. Not to be changed."""
    kernel = copy_sample(tmp_path_factory.mktemp("report") / "kernel")
    build(kernel)
    return kernel


@pytest.fixture(scope="module")
def record(built: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((built / "build" / f"vmlinux{RECORD}").read_text())
    return found


@pytest.fixture(scope="module")
def page(built: Path) -> str:
    return report.html([report.read(built)])


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Links:
    """A draft and a final with big sections; in the final .rodata is longer, so that what is behind it moves."""
    folder = tmp_path_factory.mktemp("links")
    (folder / "kernel.lds").write_text(SCRIPT % 0x1000000)
    for name, length in (("vmlinux.draft", 0x8000), ("vmlinux", 0x18000)):
        (folder / "in.S").write_text(
            f".text\n.space 0x30000, 0x90\n.section .rodata\n.space {length}, 1\n.data\n.space 0x20000, 2\n"
            f'.bss\n.space 0x10000\n.section {json.dumps(HOSTILE)}, "aw"\n.space 64, 3\n'
            '.section .note.GNU-stack, "", @progbits\n'
        )
        tool("gcc", "-c", "in.S", "-o", "in.o", cwd=folder)
        tool("ld", "--emit-relocs", "-e", "0", "-T", "kernel.lds", "in.o", "-o", name, cwd=folder)
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("vmlinux", "vmlinux.draft")}
    record = {
        "buildplug": "1", "image": "vmlinux", "arch": "x86_64", "links": 2, "tables": {}, "rewritten": [],
        "moved": [".data: byte +0x10 differs"], "inputs": {HOSTILE: "0"}, "outputs": digests, "tools": {"gcc": ""},
        "seconds": {"compile": 0.5, "draft": 0.25},
    }  # fmt: skip
    return Links(folder, record)
