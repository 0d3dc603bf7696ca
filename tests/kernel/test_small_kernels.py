"""Small kernels on QEMU's `virt`: of aarch64 at EL1 and EL2, with backends of both conduits of PSCI; of riscv64 in
S-mode under OpenSBI, with backends of one hart and of several."""

import re
import shutil
from pathlib import Path

import pytest

from buildplug.image.elf import Image
from tests.conftest import tool
from tests.samples import buildplug, built, edit, one_line
from tests.small_kernels import AARCH64, KERNELS, RISCV64, SmallKernel

BUILDS = [
    pytest.param((small, build), id=" ".join([small.name, *build]).strip())
    for small in KERNELS
    for build in small.builds
]
Built = tuple[SmallKernel, Path]


@pytest.fixture(scope="module", params=BUILDS)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A built copy of each kernel, by each linker."""
    small, build = request.param
    folder = small.copy(tmp_path_factory.mktemp(small.name) / "kernel", build)
    built(folder)
    return small, folder


def test_all_ops_are_those_of_the_backend_and_of_the_link_again(kernel: Built) -> None:
    small, folder = kernel
    for backend in small.backends:
        assert small.boot(folder, backend)[0] == f"{backend}: all ops"


def test_memory_after_the_fixup_is_that_of_the_reference(kernel: Built, tmp_path: Path) -> None:
    small, folder = kernel
    for backend in small.backends:
        small.boot(folder, backend)
        memory, image = (folder / "memory.bin").read_bytes(), folder / "build" / "vmlinux"
        assert buildplug("apply", "--backend", backend, image, "-o", tmp_path / "applied").returncode == 0
        linked, applied = Image(image), Image(tmp_path / "applied")
        start, changed = applied.address_of("kernel_start") or 0, 0
        for name in (".text", ".rodata", ".data", ".bp_ksyms", ".bp_paravirt"):
            section = applied.section(name)
            expected = applied.bytes_of(section).tobytes()
            assert memory[section.address - start :][: section.size] == expected, (backend, name)
            changed += expected != linked.bytes_of(linked.section(name)).tobytes()
        assert changed == 2  # code, and the slot


def test_backtrace_names_the_calls_that_addr2line_would(kernel: Built) -> None:
    small, folder = kernel
    lines = [line.strip().partition("/")[0] for line in small.boot(folder, next(iter(small.backends)))[2:]]
    assert [line.partition("+")[0] for line in lines] == ["deep", "main", "start"]
    image = folder / "build" / "vmlinux"
    text = tool(f"{small.name}-linux-gnu-objdump", "-d", image)
    code = {int(at, 16): rest for at, rest in re.findall(r"^ +([0-9a-f]+):(\t.*)$", text, re.M)}
    for line in lines:
        name, _, offset = line.partition("+")
        address = (Image(image).address_of(name) or 0) + int(offset, 16)  # in the call
        assert re.search(small.call, code[max(at for at in code if at <= address)])


def test_image_does_not_depend_on_its_folder(kernel: Built, tmp_path: Path) -> None:
    _, folder = kernel
    shutil.copytree(folder, tmp_path / "other")
    shutil.rmtree(tmp_path / "other" / "build")
    built(tmp_path / "other")
    assert (tmp_path / "other/build/vmlinux").read_bytes() == (folder / "build/vmlinux").read_bytes()


def test_a_site_that_calls_by_a_veneer_is_refused(tmp_path: Path) -> None:
    AARCH64.copy(tmp_path / "kernel")
    edit(tmp_path / "kernel" / "boot.S", ("\tcounted pv_psci", '\t.section .data.far, "ax"\n\tcounted pv_psci'))
    edit(tmp_path / "kernel" / "kernel.lds", ("*(.data .data.*)\n", "*(.data .data.a*)\n"),
         ("\t/DISCARD/", "\t.far 0x60000000 : { *(.data.far) }\n\t/DISCARD/"))  # fmt: skip
    message = one_line(buildplug("build", tmp_path / "kernel").stderr)
    assert re.search("expected a site in reach of pv_\\w+, found one that the linker leads through a veneer", message)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "call t0, pv_nothing",
            "expected a site that a backend can change, found call t0 of pv_nothing, which links by t0",
        ),
        (".option relax; tail pv_irq_enable", "function is out of reach of the site; compile with -mno-relax"),
    ],
)
def test_sites_that_no_backend_could_change_are_refused(tmp_path: Path, code: str, message: str) -> None:
    folder = RISCV64.copy(tmp_path / "kernel", RISCV64.builds[0])
    edit(folder / "boot.S", ("\ttail pv_nothing\n", f"\ttail pv_nothing\n\t{code}\n"))
    assert message in one_line(buildplug("build", folder).stderr)
