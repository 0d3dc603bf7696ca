"""Cycles on this processor of the sample kernel's unprivileged ops: without paravirt, with it but unpatched, and
patched. `python -m bench.cycles`. Each is the lowest of many tries in alternating runs.
"""

import shutil
import tempfile
from pathlib import Path

from bench.loss import SAMPLE
from buildplug.base.process import run
from buildplug.pipeline.run import build

WORKS = ("pte", "flags")  # as bench/user.c prints them
RUNS = 5
CONFIG = """
[kernel]
name = "user"
[toolchain]
cc = "gcc"
[compile]
sources = ["*.[cS]"]
include = [".", "x86_64"]
cflags = ["-std=c11", "-O2", "-ffreestanding", "-mno-red-zone", "-mgeneral-regs-only", "-fno-pic", "-fno-pie",
    "-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables"]
asflags = []
[link]
flags = ["-static", "-z", "noexecstack", "--build-id=none"]
[[table]]
rule = "paravirt"
ops = "paravirt.toml"
"""


def measure(folder: Path) -> dict[str, list[int]]:
    """Cycles of each work in the three variants."""
    for header in ("paravirt.h", "native.h", "x86.h", "native_entry.S", "function.h", "x86_64/arch.h"):
        (folder / header).parent.mkdir(exist_ok=True)
        shutil.copy(SAMPLE / header, folder / header)
    shutil.copy(SAMPLE / "paravirt.c", folder)
    shutil.copy(Path(__file__).with_name("user.c"), folder)
    ops = (SAMPLE / "paravirt.toml").read_text()
    (folder / "paravirt.toml").write_text(ops.partition("[backends.shim]")[0])
    (folder / "buildplug.toml").write_text(CONFIG)
    (folder / "native.toml").write_text(CONFIG.replace("flags = [", 'flags = ["-DNO_PARAVIRT", ', 1))
    build(folder, folder / "paravirt", None)
    build(folder / "native.toml", folder / "native", None)
    variants = (["native/user"], ["paravirt/user"], ["paravirt/user", "patched"])
    found = [[run(variant, folder, "count cycles").output.split() for variant in variants] for _ in range(RUNS)]
    return {
        work: [min(int(turn[variant][number]) for turn in found) for variant in range(len(variants))]
        for number, work in enumerate(WORKS)
    }


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        print(f"{'cycles':<16}{'!paravirt':>12}{'unpatched':>12}{'patched':>12}{'ratios':>12}")
        for work, (native, *others) in measure(Path(name)).items():
            counts = "".join(f"{cycles:>12,}" for cycles in (native, *others))
            print(f"{work:<16}{counts}{', '.join(f'{cycles / native:.3f}' for cycles in others):>16}", flush=True)


if __name__ == "__main__":
    main()
