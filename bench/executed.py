"""The instructions that the work of sample_kernel/work.c executes in QEMU: their number, by QEMU's counter, and their
addresses, by a log of each. Knows no backend.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from buildplug.arch.decode import instructions
from buildplug.base.errors import BuildplugError
from buildplug.base.process import run
from buildplug.image.elf import Image
from sample_kernel import boot
from sample_kernel.boot import EXIT_OK, machine_of

# The options for a log line for every instruction, by a word in QEMU's help; newer ones first, as some have both.
STEPS = {"one-insn-per-tb": ("-accel", "tcg,thread=single,one-insn-per-tb=on"), "-singlestep": ("-singlestep",)}
COUNT = ("-icount", "shift=0")  # an instruction takes a nanosecond, which is what rdtsc of x86 reads
# What reads the counter: rdtsc, mrs of pmevcntr0_el0, rdinstret; little-endian word and mask.
CLOCKS = {
    "x86_64": (0x310F, 0xFFFF), "i386": (0x310F, 0xFFFF), "aarch64": (0xD53BE800, 0xFFFFFFE0),
    "riscv64": (0xC0202073, 0xFFFFF07F),
}  # fmt: skip
# The log's lines for an instruction to be executed, and for one that was not, as an interrupt came first or it begins
# again to access a device.
LINE = re.compile(r"^(Trace|Stopped|cpu_io_recompile).*(?:\[(?:[0-9a-f]+/)?|TB to )([0-9a-f]+)", re.M)


@dataclass(frozen=True)
class Variant:
    """A kernel and how to boot it. `text`: the executed code, the image's own or that after fixup. `hosted`: under a
    hypervisor, whose instructions are counted but not logged."""

    image: Path
    text: Image
    arguments: str
    boot: Callable[..., tuple[int, str]] = boot.boot
    hosted: bool = False


def counted(variant: Variant, work: str, rounds: int, *options: str) -> int:
    """The instructions that the kernel counts, a hypervisor's among them. Raises BuildplugError if the kernel fails."""
    arguments = f"{variant.arguments} work={work} rounds={rounds}"
    status, output = variant.boot(variant.image, arguments, options=(*COUNT, *options))
    found = re.search(rf"^work {work}: {rounds} rounds, (\d+) instructions$", output, re.M)
    if status != EXIT_OK or found is None:
        raise BuildplugError(variant.image, f"expected a count of work {work}, QEMU ended with {status}", output=output)
    return int(found[1])


@dataclass(frozen=True)
class Executed:
    """Each address executed between begin() and end(), and how often; `instructions` excludes those of begin() and
    end() themselves."""

    instructions: int
    times: Counter[int]
    text: Image

    def among(self, addresses: Collection[int]) -> int:
        """The number of instructions executed at these addresses."""
        return sum(times for address, times in self.times.items() if address in addresses)

    def lines(self) -> int:
        """The number of cache lines of executed code."""
        found = set[int]()
        for address in self.times:
            last = address + next(instructions(self.text.arch, _code(self.text, address), address)).size - 1
            found |= {address // self.text.arch.line, last // self.text.arch.line}
        return len(found)


def traced(variant: Variant, work: str, rounds: int) -> Executed:
    """The executed addresses, by QEMU's log. Raises BuildplugError if log and counter disagree."""
    text = variant.text.section(".text")
    known = run([machine_of(variant.image).program, "-help"], Path.cwd(), "say its options").output
    steps = next(options for name, options in STEPS.items() if name in known)
    with tempfile.TemporaryDirectory(prefix="bench.") as folder:
        log = Path(folder) / "log"
        only = f"{text.address:#x}+{text.size:#x}"
        count = counted(variant, work, rounds, *steps, "-d", "exec,nochain", "-dfilter", only, "-D", str(log))
        addresses: list[int] = []
        for what, address in LINE.findall(log.read_text()):
            if what == "Trace":
                addresses.append(int(address, 16))
            else:
                addresses.pop()
    word, mask = CLOCKS[variant.text.arch.name]
    code = {address: int.from_bytes(_code(variant.text, address)[:4], "little") for address in set(addresses)}
    clocks = {address for address in code if code[address] & mask == word}
    places = [place for place, address in enumerate(addresses) if address in clocks]
    empty, *pieces = [addresses[a + 1 : b + 1] for a, b in list(pairwise(places))[::2]]
    found = sum(len(piece) - len(empty) for piece in pieces)
    if found != count and not variant.hosted:
        raise BuildplugError(variant.image, f"work {work}: QEMU counts {count} instructions and logs {found}")
    times = Counter(address for piece in pieces for address in piece if address not in set(empty))
    return Executed(found, times, variant.text)


def _code(text: Image, address: int) -> bytes:
    """The bytes from an address on, up to the length of the longest instruction."""
    section = text.section_at(address)
    assert section is not None
    return text.bytes_of(section)[address - section.address :][:15].tobytes()
