"""The sample kernel as a PV domain of Xen: sites are unpatched and patched again, with the timer running, by one
processor and by two."""

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
    ("arguments", "rounds", "processors"),
    [
        pytest.param("switch=10000", 10_000, 1, marks=pytest.mark.slow),
        pytest.param("switch=10000", 10_000, 2, marks=pytest.mark.slow),
        ("switch=500", 500, 1),
        ("switch=200", 200, 2),
        ("fixup=off switch=100", 100, 1),
        ("fixup=off switch=100", 100, 2),
    ],
)
def test_sites_are_unpatched_and_patched_again(kernel: Path, arguments: str, rounds: int, processors: int) -> None:
    status, said = xen.boot(kernel, arguments, seconds=1800, processors=processors)
    assert (status, said.splitlines()[-1].endswith(" 0 failed")) == (EXIT_OK, True), said
    assert re.search(r"^switches: 0 wrong, .*, as linked$", said, re.M), said
    seen = {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", said.partition("\nswitches ")[2])}
    assert (seen["loads"], seen["ticks"] > rounds // 10) == (2 * rounds, True), said
    assert (seen["processors"], seen["second"] > rounds) == (processors, processors == 2), said


@pytest.mark.parametrize("processors", [1, 2])
def test_the_backend_comes_back_byte_for_byte(kernel: Path, tmp_path: Path, processors: int) -> None:
    apply(Image(kernel), "bp_paravirt", "bp_paravirt_xen", tmp_path / "reference")
    reference = Image(tmp_path / "reference")
    sections = [s for s in reference.sections if s.alloc and s.size and s.type != SHT_NOBITS]
    _, contents = xen.memory(kernel, "switch=10", [(s.address, s.size) for s in sections], processors=processors)
    assert contents == [reference.bytes_of(s).tobytes() for s in sections]


def test_an_event_for_each_request_of_a_storm_is_taken(kernel: Path) -> None:
    status, said = xen.boot(kernel, "work=storm rounds=5000")
    assert status == EXIT_OK, said
    assert "work storm: 5000 rounds, " in said
