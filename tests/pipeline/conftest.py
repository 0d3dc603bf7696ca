"""Fixtures: a copy of sample_kernel to build."""

from pathlib import Path

import pytest

from tests.samples import copy_sample


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    return copy_sample(tmp_path / "kernel")
