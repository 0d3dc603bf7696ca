"""Boots a kernel image as the first domain of Xen, in QEMU, and reads its memory. Knows Debian's package and what Xen
says, but no kernel."""

import gzip
import os
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from buildplug.base.errors import BuildplugError
from buildplug.cli.doctor import XEN
from sample_kernel.boot import QEMU, SECONDS, read_memory_at, run

BOOT, HYPERVISOR, PACKAGE = XEN
LEAST = (4, 17)
NAMED = "XEN"  # the environment's name for the file of another hypervisor than the installed one
LOG = "xen.log"
KINDS = {  # how the domain runs -> QEMU's options, Xen's options; MiB for QEMU and for the domain
    "pv": (["-m", "128"], "dom0=pv dom0_mem=32M"),
    "pvh": (["-m", "512", "-machine", "q35", "-device", "amd-iommu", "-cpu", "max"], "dom0=pvh dom0_mem=128M iommu=1"),
}
# Xen's messages, and what they mean for the user; the first that is found counts.
REFUSED = re.compile(r"Panic on CPU \d+:\n(.+)")
BUILDER = re.compile(r"^(?:ERROR: .+|ELF: .*(?:fail|bad|not ).*)$", re.M | re.I)
CRASHED = re.compile(r"^(?:Domain 0 \(vcpu#\d+\) crashed|Hardware Dom0 (?:crashed|shutdown).*)", re.M)
WHERE = re.compile(r"^RIP: +\w+:\[<([0-9a-f]+)>\]", re.M)


def numbers(name: str) -> tuple[int, ...]:
    """The version in the name of a hypervisor's file, or in its first lines."""
    found = re.search(r"xen(?:[ -]version)?[ -](\d+)\.(\d+)", name, re.I)
    return tuple(map(int, found.groups())) if found else ()


def find(folder: Path = BOOT) -> Path:
    """The hypervisor that the environment's XEN names, or else the newest that is installed. Raises BuildplugError if
    there is none, or only older ones."""
    if given := os.environ.get(NAMED):
        path = Path(given).absolute()
        if not path.is_file():
            raise BuildplugError(path, f"expected a hypervisor, as {NAMED} names it, found none", f"unset {NAMED}")
        _check_version(path, path.name)
        return path
    found = sorted(folder.glob(HYPERVISOR), key=lambda path: numbers(path.name))
    if not found:
        raise BuildplugError(folder, f"expected a hypervisor {HYPERVISOR}, found none", PACKAGE)
    _check_version(found[-1], found[-1].name)
    return found[-1]


def _check_version(where: Path, text: str) -> None:
    """Raises BuildplugError if the text names an older Xen."""
    if () < numbers(text) < LEAST:
        wanted, named = (".".join(map(str, version)) for version in (LEAST, numbers(text)))
        raise BuildplugError(where, f"expected Xen {wanted} or later, found {named}", PACKAGE)


@contextmanager
def _machine(image: Path, arguments: str, kind: str, hypervisor: Path | None, processors: int) -> Iterator[
    tuple[list[str], Path]
]:  # fmt: skip
    """QEMU's command line, and the folder to run it in; Xen's messages go to LOG there."""
    path = hypervisor or find()
    qemu, xen = KINDS[kind]
    with tempfile.TemporaryDirectory(prefix="xen.") as name:
        folder = Path(name)
        try:
            (folder / "xen").write_bytes(gzip.decompress(path.read_bytes()))
        except (OSError, EOFError, zlib.error) as error:
            raise BuildplugError(path, f"expected a hypervisor, packed by gzip, found: {error}", PACKAGE) from None
        (folder / "vmlinux").symlink_to(image.resolve())
        module = f"vmlinux {arguments}".strip().replace(",", ",,")  # QEMU takes a list
        command = [QEMU, "-accel", "tcg,thread=single", *qemu, "-smp", str(processors), "-no-reboot"]
        command += ["-display", "none", "-monitor", "none", "-serial", "stdio", "-serial", f"file:{LOG}"]
        command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-kernel", "xen", "-initrd", module]
        options = f"console=com2 com2=115200,8n1,0x2f8,0 loglvl=all guest_loglvl=all {xen}"
        yield [*command, "-append", options], folder


def said_by_xen(folder: Path) -> str:
    """Xen's messages, without their prefix."""
    path = folder / LOG
    text = path.read_text(errors="replace") if path.exists() else ""
    return "".join(line.removeprefix("(XEN) ") for line in text.replace("\r", "").splitlines(keepends=True))


def explain(image: Path, hypervisor: Path, log: str) -> None:
    """Raises BuildplugError if Xen's messages say why there is no domain, or no more."""
    _check_version(hypervisor, log)
    if refused := REFUSED.search(log):
        said = "; ".join(dict.fromkeys([*BUILDER.findall(log), refused[1].strip()]))
        raise BuildplugError(image, f"Xen refuses it as its first domain: {said}", output=log)
    if crashed := CRASHED.search(log):
        at = WHERE.search(log)
        place = f" at {at[1]}" if at else ""
        raise BuildplugError(image, f"its domain crashed{place}, says Xen: {crashed[0].rstrip(':')}", output=log)


def boot(
    image: Path, arguments: str, kind: str = "pv", seconds: int = SECONDS, options: Iterable[str] = (),
    hypervisor: Path | None = None, processors: int = 1,
) -> tuple[int, str]:  # fmt: skip
    """Runs a kernel as Xen's first domain until it ends QEMU; the exit status and the domain's serial output.

    Raises BuildplugError if it does not end, or if Xen ends it, as that status may be 0.
    """
    path = hypervisor or find()
    with _machine(image, arguments, kind, path, processors) as ((program, *words), folder):
        try:
            status, said = run([program, *options, *words], image, seconds, folder)
        except BuildplugError as error:
            explain(image, path, said_by_xen(folder))
            error.output += said_by_xen(folder)
            raise
        log = said_by_xen(folder)
        explain(image, path, log)
        if not status % 2:  # the debug exit's are odd
            raise BuildplugError(image, f"QEMU ended with {status}, not by the kernel", output=log)
        return status, said


def memory(
    image: Path, arguments: str, regions: Iterable[tuple[int, int]], kind: str = "pv", processors: int = 1
) -> tuple[str, list[bytes]]:
    """Boots with `hold` as Xen's first domain, and reads regions (virtual address, size) once the kernel holds. Returns
    the serial output and the contents. Raises BuildplugError if the kernel ends instead."""
    with _machine(image, f"{arguments} hold", kind, None, processors) as (command, folder):
        try:
            return read_memory_at(command, "hold", lambda _: regions, where=folder)
        except BuildplugError:
            explain(image, find(), said_by_xen(folder))
            raise


def pvh_memory(image: Path, arguments: str, size: int) -> list[bytes]:
    """Boots with `hold` as a PVH domain, and reads the first `size` bytes of each MiB of the machine's memory.

    QEMU cannot follow a PVH domain's addresses. But Xen maps each MiB of the domain, such as the one that a kernel is
    loaded at, to a whole one of the machine: the kernel's is among these.
    """
    options, _ = KINDS["pvh"]
    last = int(options[options.index("-m") + 1])
    regions = [(at << 20, size) for at in range(last)]
    with _machine(image, f"{arguments} hold", "pvh", None, 1) as (command, folder):
        _, found = read_memory_at(command, "hold", lambda _: regions, where=folder, physical=True)
        return found


def missing() -> str:
    """Why there is no hypervisor to boot under; empty if there is one."""
    try:
        find()
    except BuildplugError as error:
        return str(error)
    return ""
