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
    return made(request.param, tmp_path_factory.mktemp("switch") / "kernel")


@pytest.fixture(scope="module", params=["riscv64", "aarch64"])
def virt(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kernel that switches on one processor only."""
    return made(request.param, tmp_path_factory.mktemp("virt") / "kernel")


def made(arch: str, folder: Path) -> Path:
    """A built copy of the sample kernel."""
    built(copy_sample(folder), "--arch", arch)
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


def after_switches(kernel: Path, arguments: str, expected: Image, processors: int) -> None:
    """After a hundred switches memory must be that of an image."""
    sections = [s for s in expected.sections if s.alloc and s.size and s.type != SHT_NOBITS]
    regions = [(s.address, s.size) for s in sections]
    said, contents = memory(kernel, f"{arguments} switch=100", regions, processors)
    assert "switches 102," in said
    assert contents == [expected.bytes_of(s).tobytes() for s in sections]


def shim_of(kernel: Path, output: Path) -> Image:
    """The image as the reference makes it for the shim."""
    apply(Image(kernel), "bp_paravirt", "bp_paravirt_shim", output)
    return Image(output)


def test_what_was_linked_comes_back_byte_for_byte(kernel: Path) -> None:
    after_switches(kernel, "fixup=off", Image(kernel), 2)


def test_the_backend_that_was_chosen_comes_back_byte_for_byte(kernel: Path, tmp_path: Path) -> None:
    after_switches(kernel, "backend=shim", shim_of(kernel, tmp_path / "shim"), 2)


def test_on_virt_backends_are_switched_and_ops_are_those_of_the_last(virt: Path) -> None:
    assert switched(virt, "backend=native switch=500", 1)["processors"] == 1


def test_on_virt_what_was_linked_or_chosen_comes_back_byte_for_byte(virt: Path, tmp_path: Path) -> None:
    after_switches(virt, "fixup=off", Image(virt), 1)
    after_switches(virt, "backend=shim", shim_of(virt, tmp_path / "shim"), 1)
