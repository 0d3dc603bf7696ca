"""The sample kernel on two processors: backends switched under load, and what was linked brought back."""

import re
from pathlib import Path

import pytest

from buildplug.arch.registry import ARCHES
from buildplug.base.errors import BuildplugError
from buildplug.image.elf import Image
from buildplug.image.headers import SHT_NOBITS
from buildplug.runtime.fixup import apply
from sample_kernel.boot import EXIT_OK, SECONDS, boot, memory
from tests.samples import built, copy_sample


@pytest.fixture(scope="module", params=ARCHES)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_sample(tmp_path_factory.mktemp("switch") / "kernel")
    built(folder, "--arch", request.param)
    (image,) = folder.glob("build/**/vmlinux")
    return image


def switched(kernel: Path, arguments: str, processors: int, seconds: int = SECONDS) -> dict[str, int]:
    """What the kernel counted; it must have found nothing wrong."""
    status, said = boot(kernel, arguments, processors, seconds)
    assert (status, said.splitlines()[-1].endswith(" 0 failed")) == (EXIT_OK, True), said
    assert re.search(r"^switches: 0 wrong, .*, as linked$", said, re.M), said
    return {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", said.partition("\nswitches ")[2])}


def test_backends_are_switched_while_another_processor_runs_the_sites(kernel: Path) -> None:
    seen = switched(kernel, "backend=native switch=500", 2)
    assert seen["processors"] == 2
    assert min(seen[event] for event in ("loads", "timers", "traps", "shims")) > 0, seen


def test_ten_thousand_switches(kernel: Path) -> None:
    switched(kernel, "backend=native switch=10000", 2, 1800)


def test_backends_are_switched_on_one_processor(kernel: Path) -> None:
    assert switched(kernel, "backend=native switch=50", 1)["processors"] == 1


@pytest.mark.parametrize("fault", ["poke=plain", "inside=never"])
def test_the_load_notices_a_switch_that_is_not_safe(kernel: Path, fault: str) -> None:
    """By bytes written without the protocol; by a change in front of a processor that is inside of the site."""
    try:
        status, said = boot(kernel, f"backend=native switch=10000 {fault}", 2)
    except BuildplugError as error:  # it may hang, too
        assert "did not end" in str(error)
    else:
        assert status != EXIT_OK, said


def test_what_was_linked_comes_back_byte_for_byte(kernel: Path) -> None:
    image = Image(kernel)
    sections = [s for s in image.sections if s.alloc and s.size and s.type != SHT_NOBITS]
    said, contents = memory(kernel, "fixup=off switch=100", [(s.address, s.size) for s in sections], 2)
    assert "switches 102," in said
    assert contents == [image.bytes_of(s).tobytes() for s in sections]


def test_the_backend_that_was_chosen_comes_back_byte_for_byte(kernel: Path, tmp_path: Path) -> None:
    apply(Image(kernel), "bp_paravirt", "bp_paravirt_shim", tmp_path / "reference")
    reference = Image(tmp_path / "reference")
    sections = [s for s in reference.sections if s.alloc and s.size and s.type != SHT_NOBITS]
    _, contents = memory(kernel, "backend=shim switch=100", [(s.address, s.size) for s in sections], 2)
    assert contents == [reference.bytes_of(s).tobytes() for s in sections]
