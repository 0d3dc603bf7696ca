"""The sample kernel as a PV domain of Xen: sites are unpatched and patched again, with the timer running."""

import re
from pathlib import Path

import pytest

from buildplug.image.elf import Image
from buildplug.image.headers import SHT_NOBITS
from buildplug.runtime.fixup import apply
from sample_kernel import xen
from sample_kernel.boot import EXIT_OK
from tests.samples import built, copy_sample


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_sample(tmp_path_factory.mktemp("switch") / "kernel")
    built(folder)
    return folder / "build" / "vmlinux"


@pytest.mark.parametrize(
    ("arguments", "rounds"),
    [
        pytest.param("switch=10000", 10_000, marks=pytest.mark.slow),
        ("switch=500", 500),
        ("fixup=off switch=100", 100),
    ],
)
def test_sites_are_unpatched_and_patched_again(kernel: Path, arguments: str, rounds: int) -> None:
    status, said = xen.boot(kernel, arguments, seconds=1800)
    assert (status, said.splitlines()[-1].endswith(" 0 failed")) == (EXIT_OK, True), said
    assert re.search(r"^switches: 0 wrong, .*, as linked$", said, re.M), said
    seen = {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", said.partition("\nswitches ")[2])}
    assert (seen["loads"], seen["ticks"] > rounds // 10) == (2 * rounds, True), said


def test_the_backend_comes_back_byte_for_byte(kernel: Path, tmp_path: Path) -> None:
    apply(Image(kernel), "bp_paravirt", "bp_paravirt_xen", tmp_path / "reference")
    reference = Image(tmp_path / "reference")
    sections = [s for s in reference.sections if s.alloc and s.size and s.type != SHT_NOBITS]
    _, contents = xen.memory(kernel, "switch=10", [(s.address, s.size) for s in sections])
    assert contents == [reference.bytes_of(s).tobytes() for s in sections]


def test_an_event_for_each_request_of_a_storm_is_taken(kernel: Path) -> None:
    status, said = xen.boot(kernel, "work=storm rounds=5000")
    assert status == EXIT_OK, said
    assert "work storm: 5000 rounds, " in said
