"""The cost of paravirt under Xen: the same work in the sample kernel as a PV domain, patched, and built for Xen alone.
`python -m bench.xen_loss`.

The kernel for Xen alone (sample_kernel/x86_64/xen_only.h) has Xen's code in place of the ops: macros where the backend
has inline code, calls where it has functions. A kernel's own instructions are counted from a log of each, so that
neither Xen's nor the time count.
`storm` is left out: how often it asks for the timer depends on Xen.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.executed import Variant, counted, traced
from bench.loss import copied, nops_at_sites
from buildplug.image.elf import Image
from buildplug.pipeline.run import build
from buildplug.runtime.fixup import apply
from sample_kernel import xen

WORKS = {"irq": (100, 100_000), "pte": (2, 20), "mixed": (10, 1000)}  # rounds of the runs by a log, and by the counter


@dataclass(frozen=True)
class Kernels:
    """The two variants, and the addresses of the patched one's nops at sites."""

    alone: Variant
    patched: Variant
    nops: frozenset[int]


@dataclass(frozen=True)
class Loss:
    """For one work: a kernel's own instructions of each variant, the nops among the patched variant's, and cache lines
    of each."""

    alone: int
    patched: int
    nops: int
    lines: tuple[int, int]

    @property
    def ratio(self) -> float:
        """The share of instructions that the patched variant executes more than the other one, without nops."""
        return (self.patched - self.nops) / self.alone - 1


def kernels(folder: Path) -> Kernels:
    """Builds the sample kernel twice, in a new folder."""
    copied(folder)
    text = (folder / "buildplug.toml").read_text()
    (folder / "alone.toml").write_text(text.replace("flags = [", 'flags = ["-DXEN_ONLY", ', 2))  # of cc and of as
    build(folder / "alone.toml", folder / "alone", None)
    build(folder, folder / "paravirt", None)
    alone, image, applied = folder / "alone/vmlinux", folder / "paravirt/vmlinux", folder / "applied"
    apply(Image(image), "bp_paravirt", "bp_paravirt_xen", applied)
    return Kernels(
        Variant(alone, Image(alone), "fixup=off", xen.boot, hosted=True),
        Variant(image, Image(applied), "backend=xen", xen.boot, hosted=True),
        frozenset(nops_at_sites(Image(image), Image(applied))),
    )


def measure(kernel: Kernels, work: str, rounds: int) -> Loss:
    """The kernels' own instructions, by logs."""
    alone, patched = (traced(variant, work, rounds) for variant in (kernel.alone, kernel.patched))
    nops = patched.among(kernel.nops)
    return Loss(alone.instructions, patched.instructions, nops, (alone.lines(), patched.lines()))


def with_xen(kernel: Kernels, work: str, rounds: int) -> float:
    """The share that the patched variant executes more than the other one, Xen's instructions and nops included."""
    return counted(kernel.patched, work, rounds) / counted(kernel.alone, work, rounds) - 1


def main() -> None:
    if missing := xen.missing():
        print(f"no figures under Xen: {missing}")
        return
    names = f"{'Xen alone':>10}{'patched':>10}{'its nops':>10}"
    print(f"{'under Xen':<16}{names}{'lost':>9}{'with Xen':>10}  cache lines")
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        kernel = kernels(Path(name) / "kernel")
        for work, (logged, rounds) in WORKS.items():
            loss = measure(kernel, work, logged)
            counts = f"{loss.alone:>10,}{loss.patched:>10,}{loss.nops:>10,}"
            shares = f"{loss.ratio:>9.3%}{with_xen(kernel, work, rounds):>10.3%}"
            print(f"{work:<16}{counts}{shares}  {', '.join(map(str, loss.lines))}", flush=True)


if __name__ == "__main__":
    main()
