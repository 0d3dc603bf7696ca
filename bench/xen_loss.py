"""The cost of paravirt under Xen: the same work in the sample kernel as a PV domain, patched, and built for Xen alone.
`python -m bench.xen_loss`.

The kernel for Xen alone (sample_kernel/x86_64/xen_only.h) has Xen's code in place of the ops: instructions where the
backend has inline code, calls where it has functions. A second one also has those of the interrupt flag inline, for
what calls cost. A kernel's own instructions are counted from a log of each, so that neither Xen's nor the time count.
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
ALONE = {"direct": '"-DXEN_ONLY", ', "inline": '"-DXEN_ONLY", "-DXEN_INLINE", '}  # name -> flags


@dataclass(frozen=True)
class Kernels:
    """The three variants, and the addresses of the patched one's nops at sites."""

    direct: Variant
    inline: Variant
    patched: Variant
    nops: frozenset[int]


@dataclass(frozen=True)
class Loss:
    """For one work: a kernel's own instructions of each variant, the nops among the patched variant's, and cache lines
    of each."""

    direct: int
    inline: int
    patched: int
    nops: int
    lines: tuple[int, int, int]

    def over(self, alone: int) -> float:
        """The share of instructions that the patched variant executes more than another one, without nops."""
        return (self.patched - self.nops) / alone - 1


def kernels(folder: Path) -> Kernels:
    """Builds the sample kernel three times, in a new folder."""
    copied(folder)
    text = (folder / "buildplug.toml").read_text()
    alone = {}
    for name, flags in ALONE.items():
        (folder / f"{name}.toml").write_text(text.replace("flags = [", f"flags = [{flags}", 2))  # of cc and of as
        build(folder / f"{name}.toml", folder / name, None)
        image = folder / name / "vmlinux"
        alone[name] = Variant(image, Image(image), "fixup=off", xen.boot, hosted=True)
    build(folder, folder / "paravirt", None)
    image, applied = folder / "paravirt/vmlinux", folder / "applied"
    apply(Image(image), "bp_paravirt", "bp_paravirt_xen", applied)
    patched = Variant(image, Image(applied), "backend=xen", xen.boot, hosted=True)
    return Kernels(alone["direct"], alone["inline"], patched, frozenset(nops_at_sites(Image(image), Image(applied))))


def measure(kernel: Kernels, work: str, rounds: int) -> Loss:
    """The kernels' own instructions, by logs."""
    direct, inline, patched = (traced(v, work, rounds) for v in (kernel.direct, kernel.inline, kernel.patched))
    lines = (direct.lines(), inline.lines(), patched.lines())
    nops = patched.among(kernel.nops)
    return Loss(direct.instructions, inline.instructions, patched.instructions, nops, lines)


def with_xen(kernel: Kernels, work: str, rounds: int) -> float:
    """The share that the patched variant executes more than the direct one, Xen's instructions and nops included."""
    return counted(kernel.patched, work, rounds) / counted(kernel.direct, work, rounds) - 1


def main() -> None:
    if missing := xen.missing():
        print(f"no figures under Xen: {missing}")
        return
    names = f"{'direct':>10}{'inline':>10}{'patched':>10}{'its nops':>10}"
    print(f"{'under Xen':<16}{names}{'lost':>9}{'to inline':>11}{'with Xen':>10}  cache lines")
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        kernel = kernels(Path(name) / "kernel")
        for work, (logged, rounds) in WORKS.items():
            loss = measure(kernel, work, logged)
            counts = f"{loss.direct:>10,}{loss.inline:>10,}{loss.patched:>10,}{loss.nops:>10,}"
            shares = f"{loss.over(loss.direct):>9.3%}{loss.over(loss.inline):>11.3%}"
            whole = f"{with_xen(kernel, work, rounds):>10.3%}"
            print(f"{work:<16}{counts}{shares}{whole}  {', '.join(map(str, loss.lines))}", flush=True)


if __name__ == "__main__":
    main()
