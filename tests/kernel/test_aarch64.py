"""A kernel of aarch64 on QEMU's `virt`: at EL1 and EL2, with backends of both conduits of PSCI."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from buildplug.image.elf import Image
from tests.conftest import tool
from tests.samples import buildplug, built, edit, one_line

KERNEL = Path(__file__).parent.parent / "aarch64_kernel"
LINKERS = ("ld.lld", "aarch64-linux-gnu-ld")
LEVELS = {"hvc": "off", "smc": "on"}  # backend -> whether there is EL2
SECONDS = 120
TRAPPED = 2  # the status with which it ends


@pytest.fixture(scope="module", params=LINKERS)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built copy of the kernel, by each linker."""
    folder = tmp_path_factory.mktemp("aarch64") / "kernel"
    shutil.copytree(KERNEL, folder)
    edit(folder / "buildplug.toml", ("ld.lld", request.param))
    built(folder)
    return folder


def boot(kernel: Path, backend: str) -> list[str]:
    """Runs the kernel until it traps; the lines that it prints."""
    machine = [
        "qemu-system-aarch64",
        "-accel",
        "tcg",
        "-M",
        f"virt,virtualization={LEVELS[backend]}",
        "-cpu",
        "cortex-a72",
    ]
    done = subprocess.run(
        [*machine, "-m", "64", "-nographic", "-semihosting", "-kernel", "build/vmlinux"], cwd=kernel, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == TRAPPED, done.stdout
    return done.stdout.splitlines()


@pytest.mark.parametrize("backend", LEVELS)
def test_all_ops_are_those_of_the_backend_and_of_the_link_again(kernel: Path, backend: str) -> None:
    assert boot(kernel, backend)[0] == f"{backend}: all ops"


@pytest.mark.parametrize("backend", LEVELS)
def test_memory_after_the_fixup_is_that_of_the_reference(kernel: Path, tmp_path: Path, backend: str) -> None:
    boot(kernel, backend)
    memory, image = (kernel / "memory.bin").read_bytes(), kernel / "build" / "vmlinux"
    assert buildplug("apply", "--backend", backend, image, "-o", tmp_path / "applied").returncode == 0
    linked, applied = Image(image), Image(tmp_path / "applied")
    start, changed = applied.address_of("kernel_start") or 0, 0
    for name in (".text", ".rodata", ".data", ".bp_ksyms", ".bp_paravirt"):
        section = applied.section(name)
        expected = applied.bytes_of(section).tobytes()
        assert memory[section.address - start :][: section.size] == expected, name
        changed += expected != linked.bytes_of(linked.section(name)).tobytes()
    assert changed == 2  # code, and the slot


def test_backtrace_names_the_calls_that_addr2line_would(kernel: Path) -> None:
    lines = [line.strip().partition("/")[0] for line in boot(kernel, "hvc")[2:]]
    assert [line.partition("+")[0] for line in lines] == ["deep", "main", "start"]
    text = tool("aarch64-linux-gnu-objdump", "-d", kernel / "build" / "vmlinux")
    for line in lines:
        name, _, offset = line.partition("+")
        address = (Image(kernel / "build" / "vmlinux").address_of(name) or 0) + int(offset, 16) - 3
        assert f"{address:x}:" in text
        assert "\tbl\t" in next(one for one in text.splitlines() if one.startswith(f"    {address:x}:"))


def test_image_does_not_depend_on_its_folder(kernel: Path, tmp_path: Path) -> None:
    shutil.copytree(kernel, tmp_path / "other")
    shutil.rmtree(tmp_path / "other" / "build")
    built(tmp_path / "other")
    assert (tmp_path / "other/build/vmlinux").read_bytes() == (kernel / "build/vmlinux").read_bytes()


def test_a_site_that_calls_by_a_veneer_is_refused(tmp_path: Path) -> None:
    shutil.copytree(KERNEL, tmp_path / "kernel")
    edit(tmp_path / "kernel" / "boot.S", ("\tcounted pv_psci", '\t.section .data.far, "ax"\n\tcounted pv_psci'))
    edit(tmp_path / "kernel" / "kernel.lds", ("*(.data .data.*)\n", "*(.data .data.a*)\n"),
         ("\t/DISCARD/", "\t.far 0x60000000 : { *(.data.far) }\n\t/DISCARD/"))  # fmt: skip
    message = one_line(buildplug("build", tmp_path / "kernel").stderr)
    assert re.search("expected a site in reach of pv_\\w+, found one that the linker leads through a veneer", message)
