"""The sample kernel on two processors: backends switched under load, and what was linked brought back. Also what makes
switched code visible, by objdump, as emulators have no caches."""

import re
from itertools import groupby
from pathlib import Path

import pytest

from buildplug.arch.registry import ARCHES
from buildplug.base.errors import BuildplugError
from buildplug.image.elf import Image
from buildplug.image.headers import SHT_NOBITS
from buildplug.runtime.fixup import apply
from sample_kernel.boot import EXIT_OK, SECONDS, boot, memory
from tests.conftest import tool
from tests.samples import built, copy_sample, edit

VIRT = ("riscv64", "aarch64")
EVENTS = {"x86_64": ("loads", "timers", "traps", "shims"), "i386": ("loads", "timers", "traps", "shims")}
OTHERS = {"riscv64": ("shim", "sbi"), "aarch64": ("shim", "smc")}  # backends besides "native"
SEQUENCE = {  # of the instructions that make code visible, in poke()
    "riscv64": (r"fence\.i|ecall", ["fence.i", "ecall"]),
    "aarch64": (r"dc\tcvau|ic\tivau|dsb\tish|isb", ["dc cvau", "dsb ish", "ic ivau", "dsb ish", "isb"]),
}


@pytest.fixture(scope="module", params=ARCHES)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built copy of the sample kernel."""
    folder = copy_sample(tmp_path_factory.mktemp("switch") / "kernel")
    built(folder, "--arch", request.param)
    (image,) = folder.glob("build/**/vmlinux")
    return image


def arch_of(kernel: Path) -> str:
    return Image(kernel).arch.name


def switched(kernel: Path, arguments: str, processors: int, seconds: int = SECONDS) -> dict[str, int]:
    """What the kernel counted; it must have found nothing wrong."""
    status, said = boot(kernel, arguments, processors, seconds)
    assert (status, said.splitlines()[-1].endswith(" 0 failed")) == (EXIT_OK, True), said
    assert re.search(r"^switches: 0 wrong, .*, as linked$", said, re.M), said
    return {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", said.partition("\nswitches ")[2])}


def test_backends_are_switched_while_another_processor_runs_the_sites(kernel: Path) -> None:
    seen = switched(kernel, "backend=native switch=500", 2)
    assert seen["processors"] == 2
    events = EVENTS.get(arch_of(kernel), ("loads", "timers", "shims"))
    assert min(seen[event] for event in events) > 0, seen


@pytest.mark.parametrize(
    "kernel",
    [pytest.param(arch, marks=[pytest.mark.slow] * (arch in VIRT)) for arch in ARCHES],
    indirect=True,
    scope="module",
)
def test_ten_thousand_switches(kernel: Path) -> None:
    switched(kernel, "backend=native switch=10000", 2, 1800)


def test_backends_are_switched_on_one_processor(kernel: Path) -> None:
    assert switched(kernel, "backend=native switch=50", 1)["processors"] == 1


@pytest.mark.parametrize("fault", ["poke=plain", "inside=never"])
@pytest.mark.parametrize("kernel", sorted({*ARCHES} - {"aarch64"}), indirect=True, scope="module")
def test_the_load_notices_a_switch_that_is_not_safe(kernel: Path, fault: str) -> None:
    """By bytes written without the protocol; by a change in front of a processor that is inside of the site. On aarch64
    no site's instructions depend on each other; those of its small kernel do (test_switch_words.py)."""
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


def test_another_backend_starts_the_second_processor_too(kernel: Path) -> None:
    """By SMC in place of HVC; with the firmware's flushes of the TLBs of all harts."""
    for backend in OTHERS.get(arch_of(kernel), ("shim",)):
        assert switched(kernel, f"backend={backend} switch=20", 2)["processors"] == 2


def test_a_hart_that_begins_where_the_first_did_is_the_second(tmp_path: Path) -> None:
    """As by OpenSBI 1.1, now and then, on a busy machine."""
    folder = copy_sample(tmp_path / "kernel")
    begin = 'extern const char begin[] __asm__("start");\n\tunsigned long start = physical(begin);'
    edit(folder / "virt" / "smp.c", ("unsigned long start = physical(ap_start);", begin))
    built(folder, "--arch", "riscv64")
    assert switched(folder / "build" / "riscv64" / "vmlinux", "backend=sbi switch=2", 2)["processors"] == 2


def test_the_writer_of_the_kernel_writes_what_the_protocol_does(kernel: Path, tmp_path: Path) -> None:
    """poke() writes site by site: on one processor, without load."""
    after_switches(kernel, "backend=shim poke=plain", shim_of(kernel, tmp_path / "shim"), 1)
    after_switches(kernel, "fixup=off poke=plain", Image(kernel), 1)


@pytest.mark.parametrize("kernel", SEQUENCE, indirect=True, scope="module")
def test_what_poke_writes_is_made_visible(kernel: Path) -> None:
    arch = arch_of(kernel)
    pattern, expected = SEQUENCE[arch]
    code = tool(f"{arch}-linux-gnu-objdump", "-d", "--no-show-raw-insn", "--disassemble=poke", kernel)
    written = code.rpartition("<bp_write>")[2]  # after the call
    found = [text.replace("\t", " ") for text, _ in groupby(re.findall(rf"\t({pattern})\b", written))]
    assert found[: len(expected)] == expected
