"""verify sees every byte that decides what is in memory: `python -m bench.flips` flips them in the sample kernel."""

from pathlib import Path

import pytest

from bench.flips import unseen
from buildplug.config.rule import find_shipped
from buildplug.image.elf import Image
from tests.samples import built, copy_sample


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_sample(tmp_path_factory.mktemp("flips") / "kernel")


def flip(kernel: Path, arch: str, every: int) -> None:
    built(kernel, "--arch", arch)
    build = kernel / "build" / ("" if arch == "x86_64" else arch)
    draft, final = Image(build / "vmlinux.draft"), Image(build / "vmlinux")
    count, missed = unseen(draft, final, [rule for rule in find_shipped() if rule.symbol in final.names], every)
    assert count > 30_000 / every
    assert missed == []


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_verify_sees_a_sample_of_flipped_bytes(kernel: Path, arch: str) -> None:
    flip(kernel, arch, 200)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_verify_sees_every_flipped_byte(kernel: Path, arch: str) -> None:
    flip(kernel, arch, 1)
