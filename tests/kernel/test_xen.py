"""The sample kernel as the first domain of Xen, in QEMU: the same image as on bare hardware."""

import json
from pathlib import Path

import pytest

from buildplug.base.errors import BuildplugError
from buildplug.image.elf import Image
from buildplug.image.headers import SHT_NOBITS, Section
from buildplug.runtime.fixup import apply
from sample_kernel import xen
from sample_kernel.boot import EXIT_OK
from sample_kernel.boot import boot as boot_bare
from tests.conftest import tool
from tests.samples import built, copy_sample, edit

MIB = 1 << 20
COMPILERS = {"gcc": "ld", "clang": "ld.lld"}


@pytest.fixture(scope="module", params=COMPILERS)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_sample(tmp_path_factory.mktemp("xen") / "kernel")
    edit(folder / "buildplug.toml", ('cc = "gcc"', f'cc = "{request.param}"'))
    edit(folder / "buildplug.toml", ('ld = "ld"', f'ld = "{COMPILERS[request.param]}"'))
    built(folder)
    return folder / "build" / "vmlinux"


def checks(said: str) -> list[str]:
    """The names of the checks that passed; all must have."""
    lines = said.splitlines()
    assert lines[-1].endswith(" 0 failed"), said
    return [line for line in lines if line.startswith("check ")]


def test_one_image_passes_the_same_checks_on_bare_hardware_and_as_a_pv_domain(kernel: Path) -> None:
    bare, under = boot_bare(kernel, "backend=native"), xen.boot(kernel, "")
    assert (bare[0], under[0]) == (EXIT_OK, EXIT_OK), under[1]
    assert "backend xen, fixup done" in under[1]
    assert checks(bare[1]) == checks(under[1])


def test_the_same_image_passes_them_as_a_pvh_domain(kernel: Path) -> None:
    """Privileged there: by the backend of bare hardware, or the shim."""
    for arguments, backend in (("", "native"), ("backend=shim", "shim")):
        status, said = xen.boot(kernel, arguments, "pvh")
        assert status == EXIT_OK, said
        assert f"machine: Xen PVH\nbuildplug: backend {backend}, fixup done\n" in said
        assert len(checks(said)) == 105


def reference_of(kernel: Path, backend: str, output: Path) -> tuple[Image, list[Section]]:
    """What the fixup in Python makes of a kernel, and its sections with content."""
    apply(Image(kernel), "bp_paravirt", f"bp_paravirt_{backend}", output)
    reference = Image(output)
    return reference, [s for s in reference.sections if s.alloc and s.size and s.type != SHT_NOBITS]


def memory_of_pv_domain_differs(kernel: Path, folder: Path) -> list[str]:
    """The sections of a guest that are not as in the reference."""
    reference, sections = reference_of(kernel, "xen", folder / "reference")
    _, contents = xen.memory(kernel, "", [(s.address, s.size) for s in sections])
    assert {".text", ".rodata", ".data"} <= {s.name for s in sections}
    return [s.name for s, c in zip(sections, contents, strict=True) if c != reference.bytes_of(s).tobytes()]


def test_guest_memory_equals_the_reference(kernel: Path, tmp_path: Path) -> None:
    assert not memory_of_pv_domain_differs(kernel, tmp_path)


def memory_of_pvh_domain_differs(kernel: Path, backend: str, folder: Path) -> list[str]:
    """The same of a PVH domain: exactly one MiB of the machine's memory begins with the patched kernel."""
    reference, sections = reference_of(kernel, backend, folder / "reference")
    start, end = sections[0].address, max(s.address + s.size for s in sections)
    assert start % MIB == 0
    found = xen.pvh_memory(kernel, f"backend={backend}", end - start)
    first = reference.bytes_of(sections[0]).tobytes()
    (memory,) = (each for each in found if each.startswith(first))
    parts = [memory[s.address - start :][: s.size] for s in sections]
    return [s.name for s, part in zip(sections, parts, strict=True) if part != reference.bytes_of(s).tobytes()]


@pytest.mark.parametrize("backend", ["native", "shim"])
def test_memory_of_a_pvh_domain_equals_the_reference(kernel: Path, tmp_path: Path, backend: str) -> None:
    assert not memory_of_pvh_domain_differs(kernel, backend, tmp_path)


def test_without_fixup_everything_runs_through_the_defaults(kernel: Path) -> None:
    status, said = xen.boot(kernel, "fixup=off")
    assert status == EXIT_OK, said
    assert "backend default, fixup off" in said


def test_a_backend_that_cannot_run_is_refused(kernel: Path) -> None:
    status, said = xen.boot(kernel, "backend=native")
    assert status != EXIT_OK
    assert "panic: a PV domain of Xen runs by the backend xen only" in said
    status, said = boot_bare(kernel, "backend=xen")
    assert status != EXIT_OK
    assert "panic: the backend xen is for a PV domain of Xen only" in said


def test_a_privileged_instruction_that_is_no_op_is_named(kernel: Path, tmp_path: Path) -> None:
    """Xen runs the kernel without privileges: a cli in place of a function's first instruction is a fault there."""
    spoilt, at = patched(kernel, "checks_run", b"\xfa", tmp_path / "vmlinux")
    assert boot_bare(spoilt, "crash")[0] != EXIT_OK
    status, said = xen.boot(spoilt, "")
    assert status != EXIT_OK
    assert f"exception 13, error 0, at {at:x}" in said
    assert "\n  checks_run+0x" in said


def test_record_says_what_is_believed_and_not_proved(kernel: Path) -> None:
    record = json.loads(kernel.with_name("vmlinux.buildplug.json").read_text())
    assert record["tables"]["paravirt"]["believed"] == {"xen": {"cpuid": ["ax", "bx", "cx", "dx"]}}


def test_masking_events_is_a_store_where_a_macro_made_room(kernel: Path, tmp_path: Path) -> None:
    apply(Image(kernel), "bp_paravirt", "bp_paravirt_xen", tmp_path / "xen")
    listed = tool("objdump", "-d", "--no-show-raw-insn", tmp_path / "xen")
    entries = [text.partition("\n\n")[0] for text in listed.split("<xen_entry>:\n")[1:]]
    assert "movb   $0x1,%gs:0x1" in entries[0]


def test_a_crash_of_the_domain_is_no_success(kernel: Path, tmp_path: Path) -> None:
    spoilt, at = patched(kernel, "xen_start", b"\x0f\x0b", tmp_path / "vmlinux")
    with pytest.raises(BuildplugError, match=rf"its domain crashed at {at:x}, says Xen: "):
        xen.boot(spoilt, "")


def test_a_domain_that_hangs_is_ended(kernel: Path, tmp_path: Path) -> None:
    spoilt, _ = patched(kernel, "xen_start", b"\xeb\xfe", tmp_path / "vmlinux")
    with pytest.raises(BuildplugError, match="did not end within 15 s: it said nothing"):
        xen.boot(spoilt, "", seconds=15)


def test_what_the_domain_builder_says_of_an_image_is_shown(kernel: Path, tmp_path: Path) -> None:
    data = kernel.read_bytes()
    (tmp_path / "vmlinux").write_bytes(data.replace(b"xen-3.0\0", b"xen-2.0\0"))
    with pytest.raises(BuildplugError, match=r"Xen refuses it .*: ERROR: .*\(Not 'xen-2.0'\); Could not construct"):
        xen.boot(tmp_path / "vmlinux", "")


def patched(kernel: Path, function: str, code: bytes, output: Path) -> tuple[Path, int]:
    """A copy of a kernel whose function begins with that code; where the function is, by nm."""
    (at,) = [int(line.split()[0], 16) for line in tool("nm", kernel).splitlines() if line.endswith(f" {function}")]
    image = Image(kernel)
    section = image.section(".text")
    data = bytearray(kernel.read_bytes())
    place = section.offset + at - section.address
    data[place : place + len(code)] = code
    output.write_bytes(data)
    return output, at
