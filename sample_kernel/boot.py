"""Boots a kernel image in QEMU and reads its memory; also makes images that are loaded away from their link address.
Knows QEMU's command line and its QMP protocol, but no kernel."""

import json
import os
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from buildplug.base.errors import BuildplugError
from buildplug.base.files import write
from buildplug.image.elf import Image

QEMU = "qemu-system-x86_64"


@dataclass(frozen=True)
class Machine:
    """QEMU's program for an architecture, its words for the machine, and its package. has_firmware: the processor may
    be in firmware, which translates no addresses, at any time."""

    program: str
    words: tuple[str, ...]
    package: str
    has_firmware: bool = False
    needs: tuple[str, tuple[str, ...]] = ("", ())  # more words, if the kernel's command line has that one


_PC = Machine(QEMU, ("-device", "isa-debug-exit,iobase=0xf4,iosize=1"), "qemu-system-x86")
MACHINES = {  # by e_machine
    3: _PC, 62: _PC, 243: Machine("qemu-system-riscv64", ("-M", "virt"), "qemu-system-misc", has_firmware=True),
    183: Machine(
        "qemu-system-aarch64", ("-M", "virt", "-cpu", "cortex-a72", "-semihosting"), "qemu-system-arm",
        needs=("backend=smc", ("-machine", "virtualization=on")),
    ),
}  # fmt: skip
SECONDS = 600  # a boot takes a quarter of a second; a busy machine is slower
EXIT_OK = 33  # panic.c; the debug exit of a PC makes only odd ones


def command(image: Path, arguments: str, processors: int = 1) -> list[str]:
    """The QEMU command that runs `image` with a kernel command line. Always TCG, whose execution is repeatable, except
    for the interaction of several processors, each of which has a thread."""
    threads, machine = "multi" if processors > 1 else "single", machine_of(image)
    words = ["-accel", f"tcg,thread={threads}", "-smp", str(processors), "-m", "64", "-no-reboot"]
    words += ["-display", "none", "-monitor", "none", "-serial", "stdio", *machine.words]
    words += machine.needs[1] if machine.needs[0] in arguments.split() else ()
    return [machine.program, *words, "-kernel", str(image), "-append", arguments]


def machine_of(image: Path) -> Machine:
    """The machine for an image."""
    with image.open("rb") as file:
        return MACHINES[int.from_bytes(file.read(20)[18:], "little")]


def boot(
    image: Path, arguments: str, processors: int = 1, seconds: int = SECONDS, options: Iterable[str] = ()
) -> tuple[int, str]:  # fmt: skip
    """Runs a kernel until it ends QEMU; returns the exit status and the serial output. More options of QEMU go before
    the usual ones, as the first -accel counts.

    Raises BuildplugError if it does not end.
    """
    program, *words = command(image, arguments, processors)
    return run([program, *options, *words], image, seconds)


def run(qemu: list[str], image: Path, seconds: int, folder: Path | None = None) -> tuple[int, str]:
    """Runs a QEMU with its serial line on stdout until it ends; its status and output. Raises BuildplugError if it
    does not end."""
    try:
        done = subprocess.run(
            qemu, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        packages = {machine.program: machine.package for machine in MACHINES.values()}
        raise BuildplugError(qemu[0], "expected QEMU, found none", f"apt-get install {packages[qemu[0]]}") from None
    except subprocess.TimeoutExpired as error:
        said = f"it said {error.stdout!r:.200}" if error.stdout else "it said nothing"
        raise BuildplugError(image, f"did not end within {seconds} s: {said}") from None
    return done.returncode, done.stdout


def loaded_elsewhere(image: Path, slide: int, output: Path) -> None:
    """Writes a copy of an image to `output` that QEMU loads and enters `slide` bytes after its own load address. The
    loaded bytes are the same: a note with the entry (PVH) is replaced by one at the end of the file."""
    data = bytearray(image.read_bytes())
    with image.open("rb") as file:
        elf = ELFFile(file)
        at, size = elf["e_phoff"], elf["e_phentsize"]
        offset, address, word = (8, 24, "<Q") if elf.elfclass == 64 else (4, 12, "<I")  # p_offset, p_paddr
        segments = [(at + size * number, s.header) for number, s in enumerate(elf.iter_segments())]
    for place, header in segments:
        struct.pack_into(word, data, place + address, header.p_paddr + slide)
        if header.p_type == "PT_NOTE" and header.p_filesz:
            note = bytearray(data[header.p_offset :][: header.p_filesz])
            struct.pack_into("<Q", note, 16, struct.unpack_from("<Q", note, 16)[0] + slide)
            data += bytes(-len(data) % header.p_align)
            struct.pack_into(word, data, place + offset, len(data))
            data += note
    write(output, bytes(data))


def memory(
    image: Path, arguments: str, regions: Iterable[tuple[int, int]], processors: int = 1
) -> tuple[str, list[bytes]]:
    """Boots with `hold`, and reads regions (virtual address, size) of memory once the kernel holds.

    Returns the serial output and the contents. Raises BuildplugError if the kernel ends instead.
    """
    physical = machine_of(image).has_firmware
    base = Image(image).address_of("kernel_base") or 0 if physical else 0  # the same wherever the image is loaded
    places = [(address - base, size) for address, size in regions]
    qemu = command(image, f"{arguments} hold", processors)
    return read_memory_at(qemu, "hold", lambda _: places, physical=physical)


def read_memory_at(
    qemu: list[str], last: str, regions: Callable[[str], Iterable[tuple[int, int]]], seconds: int = SECONDS,
    where: Path | None = None, physical: bool = False,
) -> tuple[str, list[bytes]]:  # fmt: skip
    """Runs a QEMU with its serial line on stdout, in the folder `where`, until it prints the line `last`, and reads the
    regions (virtual or physical address, size) of memory that `regions` computes from the output. Returns the output
    and the contents.

    Raises BuildplugError if QEMU ends, or exceeds the time.
    """
    with tempfile.TemporaryDirectory() as folder:
        control = Path(folder) / "qmp"
        full = [*qemu, "-qmp", f"unix:{control},server=on,wait=off"]
        with subprocess.Popen(
            full, cwd=where, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
        ) as process:  # fmt: skip
            watchdog = threading.Timer(seconds, process.kill)
            watchdog.start()
            try:
                assert process.stdout is not None
                lines = []
                for line in process.stdout:
                    lines.append(line)
                    if line.rstrip() == last:
                        break
                else:
                    raise BuildplugError(qemu[0], f"expected the kernel to say {last!r}, found: {''.join(lines[-12:])}")
                output = "".join(lines)
                contents = list(_read(control, regions(output), Path(folder) / "dump", physical))
            finally:
                watchdog.cancel()
                process.kill()
    return output, contents


def _read(control: Path, regions: Iterable[tuple[int, int]], dump: Path, physical: bool) -> Iterable[bytes]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.fspath(control))
        with connection.makefile("rw") as stream:

            def ask(execute: str, **arguments: Any) -> None:
                stream.write(json.dumps({"execute": execute, "arguments": arguments}) + "\n")
                stream.flush()
                for line in stream:
                    answer = json.loads(line)
                    if "error" in answer:
                        raise BuildplugError("QEMU", f"{execute}: {answer['error']['desc']}")
                    if "return" in answer:
                        return

            ask("qmp_capabilities")
            ask("stop")
            for address, size in regions:
                signed = (address + 2**63) % 2**64 - 2**63  # QMP has no larger integers
                ask("pmemsave" if physical else "memsave", val=signed, size=size, filename=str(dump))
                yield dump.read_bytes()
