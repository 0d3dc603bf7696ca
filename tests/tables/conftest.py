"""Fixtures: the C of ksyms, and a program that runs it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ksyms_host import Host, write


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("ksyms"))


@pytest.fixture(scope="module")
def host(source: Path) -> Iterator[Host]:
    with Host(source) as running:
        yield running
