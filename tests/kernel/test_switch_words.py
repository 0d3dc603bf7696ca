"""Small kernels of two processors on QEMU's `virt`: backends switched in use, where instructions are words."""

from pathlib import Path

import pytest

from buildplug.image.elf import Image
from buildplug.runtime.fixup import apply
from tests.samples import built
from tests.small_kernels import AARCH64, KERNELS, TRAPPED, SmallKernel

SECONDS = 1800


@pytest.fixture(params=KERNELS, ids=lambda small: small.name)
def small(request: pytest.FixtureRequest) -> SmallKernel:
    found: SmallKernel = request.param
    return found


def test_ten_thousand_switches_while_another_processor_runs_the_sites(small: SmallKernel, tmp_path: Path) -> None:
    folder = small.copy_that_switches(tmp_path / "kernel")
    built(folder)
    done = small.run(folder, *small.pair, seconds=SECONDS)
    assert done.returncode == TRAPPED, done.stdout
    words = done.stdout.partition("switched: ")[2].splitlines()[0].split()
    switches, again, checks, *timers = (int(word) for word in words if word.isdecimal())
    assert (switches, min(again, checks // switches, *timers) > 0) == (10000, True), words
    memory, image = (folder / "memory.bin").read_bytes(), folder / "build" / "vmlinux"
    apply(Image(image), "bp_paravirt", "bp_paravirt_one", tmp_path / "applied")  # the last one: 10000 is 1 modulo 3
    applied = Image(tmp_path / "applied")
    start = applied.address_of("kernel_start") or 0
    for name in (".text", ".rodata", ".data"):
        section = applied.section(name)
        assert memory[section.address - start :][: section.size] == applied.bytes_of(section).tobytes(), name


@pytest.mark.parametrize("flag", ["-DINSIDE_NEVER", "-DOTHERS=0"])
def test_checks_notice_a_switch_that_is_not_safe(small: SmallKernel, tmp_path: Path, flag: str) -> None:
    """In front of a processor that is inside of a site; while the other processor does not wait."""
    folder = small.copy_that_switches(tmp_path / "kernel", flag)
    built(folder)
    assert "switched: " not in small.run(folder, *small.pair, seconds=SECONDS).stdout


def test_an_address_of_two_sites_is_not_changed_in_use(tmp_path: Path) -> None:
    folder = AARCH64.copy_that_switches(tmp_path / "kernel", "-DADDRESS")
    built(folder)
    said = AARCH64.run(folder, *AARCH64.pair).stdout
    assert said.splitlines()[0] == "part of an address, of which another site is the rest"
