"""What the work of sample_kernel/work.c executes in QEMU: how many instructions, by its counter, and which, by a log of
every one. Knows no backend.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from buildplug.arch.decode import instructions
from buildplug.base.errors import BuildplugError
from buildplug.base.process import run
from buildplug.image.elf import Image
from sample_kernel.boot import EXIT_OK, QEMU, boot

# How the log gets a line for every instruction, by what QEMU's help names: the newer first, as some have both.
STEPS = {"one-insn-per-tb": ("-accel", "tcg,thread=single,one-insn-per-tb=on"), "-singlestep": ("-singlestep",)}
COUNT = ("-icount", "shift=0")  # a nanosecond an instruction; rdtsc tells nanoseconds
RDTSC = b"\x0f\x31"
# A log's line of an instruction that is to be executed, and that it was not, as there was an interrupt first.
LINE = re.compile(r"^(Trace|Stopped).*\[(?:[0-9a-f]+/)?([0-9a-f]+)", re.M)


@dataclass(frozen=True)
class Way:
    """A kernel and how it is booted. `text` has the code that then runs: the image's own, or what fixup makes of it."""

    image: Path
    text: Image
    arguments: str


def counted(way: Way, work: str, rounds: int, *options: str) -> int:
    """Instructions that the kernel counts. Raises BuildplugError if it does not end well."""
    status, said = boot(way.image, f"{way.arguments} work={work} rounds={rounds}", options=(*COUNT, *options))
    found = re.search(rf"^work {work}: {rounds} rounds, (\d+) instructions$", said, re.M)
    if status != EXIT_OK or found is None:
        raise BuildplugError(way.image, f"expected work {work} to be counted, QEMU ended with {status}", output=said)
    return int(found[1])


@dataclass(frozen=True)
class Executed:
    """Each address that was executed between begin() and end(), and how often; `instructions` leaves out those that a
    begin() and an end() execute themselves."""

    instructions: int
    times: Counter[int]
    text: Image

    def among(self, addresses: Collection[int]) -> int:
        """How many instructions were executed at these."""
        return sum(times for address, times in self.times.items() if address in addresses)

    def lines(self) -> int:
        """Cache lines of code."""
        found = set[int]()
        for address in self.times:
            last = address + next(instructions(self.text.arch, _code(self.text, address), address)).size - 1
            found |= {address // self.text.arch.line, last // self.text.arch.line}
        return len(found)


def traced(way: Way, work: str, rounds: int) -> Executed:
    """The same work, as QEMU logs it. Raises BuildplugError if log and counter disagree."""
    text = way.text.section(".text")
    known = run([QEMU, "-help"], Path.cwd(), "say its options").output
    steps = next(options for name, options in STEPS.items() if name in known)
    with tempfile.TemporaryDirectory(prefix="bench.") as folder:
        log = Path(folder) / "log"
        only = f"{text.address:#x}+{text.size:#x}"
        count = counted(way, work, rounds, *steps, "-d", "exec,nochain", "-dfilter", only, "-D", str(log))
        addresses: list[int] = []
        for what, address in LINE.findall(log.read_text()):
            if what == "Trace":
                addresses.append(int(address, 16))
            else:
                addresses.pop()
    clocks = {address for address in set(addresses) if _code(way.text, address).startswith(RDTSC)}
    places = [place for place, address in enumerate(addresses) if address in clocks]
    empty, *pieces = [addresses[a + 1 : b + 1] for a, b in list(pairwise(places))[::2]]
    found = sum(len(piece) - len(empty) for piece in pieces)
    if found != count:
        raise BuildplugError(way.image, f"work {work}: QEMU counts {count} instructions and logs {found}")
    times = Counter(address for piece in pieces for address in piece if address not in set(empty))
    return Executed(found, times, way.text)


def _code(text: Image, address: int) -> bytes:
    """The bytes from an address on, as many as the longest instruction has."""
    section = text.section_at(address)
    assert section is not None
    return text.bytes_of(section)[address - section.address :][:15].tobytes()
