"""The cost of paravirt on bare hardware: the same work in the sample kernel built without it, with it but unpatched,
and patched. `python -m bench.loss`.

Instructions are counted by QEMU. The nops at patched sites are counted separately: their number a round is known from
the logs of two short runs, which must predict the count of the long one.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.executed import CLOCKS, Variant, counted, traced
from buildplug.arch.decode import instructions
from buildplug.base.errors import BuildplugError
from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.pipeline.run import build
from buildplug.runtime.fixup import apply
from buildplug.stage.proof import prove_table
from buildplug.tables.sites_format import Table

SAMPLE = Path(__file__).resolve().parent.parent / "sample_kernel"
WORKS = {"irq": 1_000_000, "pte": 2000, "storm": 10_000, "mixed": 10_000}  # rounds; one of pte fills 512 entries
SHORT = (2, 4)  # rounds of the runs that are logged


@dataclass(frozen=True)
class Kernels:
    """The three variants, and the addresses of the patched one's nops at sites."""

    native: Variant
    unpatched: Variant
    patched: Variant
    nops: frozenset[int]


@dataclass(frozen=True)
class Loss:
    """For one work: instructions of each variant, the nops among the patched variant's, and cache lines of each."""

    native: int
    unpatched: int
    patched: int
    nops: int
    lines: tuple[int, int, int]

    @property
    def ratio(self) -> float:
        """The instructions that the patched variant executes more than the native one, without nops."""
        return (self.patched - self.nops) / self.native - 1


def copied(folder: Path) -> None:
    """The sample kernel's sources."""
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("build", "__pycache__", "*.py"))


def kernels(folder: Path, arch: str = "x86_64") -> Kernels:
    """Builds the sample kernel for an architecture twice, in a new folder.

    The one without paravirt also has a table of sites, but only those of the self test, and they are not patched.
    """
    copied(folder)
    text = (
        (folder / "buildplug.toml").read_text().replace("flags = [", 'flags = ["-DNO_PARAVIRT", ', 2)
    )  # of cc and of as
    (folder / "native.toml").write_text(text)
    build(folder / "native.toml", folder / "native", None, arch=arch)
    build(folder, folder / "paravirt", None, arch=arch)
    native, image, applied = folder / "native/vmlinux", folder / "paravirt/vmlinux", folder / "applied"
    apply(Image(image), "bp_paravirt", "bp_paravirt_native", applied)
    return Kernels(
        Variant(native, Image(native), "fixup=off"), Variant(image, Image(image), "fixup=off"),
        Variant(image, Image(applied), "backend=native"), frozenset(nops_at_sites(Image(image), Image(applied))),
    )  # fmt: skip


def sites(image: Image) -> Iterator[tuple[int, int, int]]:
    """Address, form and op of every paravirt site."""
    table = prove_table(image, find("paravirt", Path()), None).truth
    assert isinstance(table, Table)
    yield from table.rows(image.address_of("bp_paravirt") or 0, image.arch.modulus)


def nops_at_sites(image: Image, applied: Image) -> Iterator[int]:
    """The addresses of the nops that the fixup writes to sites."""
    for address, form, _ in sites(image):
        section = applied.section_at(address)
        assert section is not None
        if section.executable:
            code = applied.bytes_of(section)[address - section.address :][: image.arch.forms[form].length].tobytes()
            yield from (i.address for i in instructions(image.arch, code, address) if bytes(i.bytes) in image.arch.nops)


def measure(kernel: Kernels, work: str, rounds: int) -> Loss:
    """Raises BuildplugError if the short runs do not predict the long one."""
    variants = (kernel.native, kernel.unpatched, kernel.patched)
    native, unpatched, patched = (counted(v, work, rounds) for v in variants)
    short, *others = [traced(kernel.patched, work, SHORT[0]), *(traced(v, work, SHORT[1]) for v in variants)]

    def predicted(first: int, second: int) -> int:
        return first + (second - first) * (rounds - SHORT[0]) // (SHORT[1] - SHORT[0])

    if patched != predicted(short.instructions, others[2].instructions):
        raise BuildplugError("bench", f"work {work}: {patched} instructions, but the short runs predict other ones")
    nops = predicted(short.among(kernel.nops), others[2].among(kernel.nops))
    lines = (others[0].lines(), others[1].lines(), others[2].lines())
    return Loss(native, unpatched, patched, nops, lines)


def main() -> None:
    print(
        f"{'instructions':<16}{'!paravirt':>12}{'unpatched':>12}{'patched':>12}{'its nops':>12}{'lost':>9}  cache lines"
    )
    for arch in CLOCKS:
        with tempfile.TemporaryDirectory(prefix="bench.") as name:
            kernel = kernels(Path(name) / "kernel", arch)
            for work, rounds in WORKS.items():
                loss = measure(kernel, work, rounds)
                counts = f"{loss.native:>12,}{loss.unpatched:>12,}{loss.patched:>12,}{loss.nops:>12,}"
                lines = ", ".join(map(str, loss.lines))
                print(f"{arch + ', ' + work:<16}{counts}{loss.ratio:>9.3%}  {lines}", flush=True)
            native, paravirt = (variant.text.section(".text").size for variant in (kernel.native, kernel.patched))
            print(f"{arch + ', code':<16}{native:>12,}{paravirt:>24,} bytes", flush=True)


if __name__ == "__main__":
    main()
