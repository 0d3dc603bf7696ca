"""Cycles on this processor of the sample kernel's unprivileged ops: without paravirt, with it but unpatched, patched,
and patched with code that is padded by prefixes instead of nops (padding.py). `python -m bench.cycles`. Each is the
lowest of many tries in alternating runs.
"""

import shutil
import tempfile
from pathlib import Path

from bench.loss import SAMPLE
from buildplug.base.process import run
from buildplug.pipeline.run import build

WORKS = ("pte", "flags")  # as bench/user.c prints them
RUNS = 5
PREFIXED = {  # inline code of 2 or 3 bytes, whose sites have 5: one nop less each
    f'inline = "{code}': f'inline = ".byte 0x3e, 0x3e{more}; {code}'
    for code, more in (("mov %{}, (%{ax})", ""), ("pushf; pop", ", 0x3e"), ("push %{}; popf", ", 0x3e"))
}
CONFIG = """
[kernel]
name = "user"
[toolchain]
cc = "gcc"
[compile]
sources = ["*.[cS]"]
include = [".", "x86", "x86_64"]
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
    """Cycles of each work in the four variants."""
    for header in ("x86/paravirt.h", "x86/native.h", "x86/x86.h", "native_entry.S", "function.h", "x86_64/arch.h"):
        (folder / header).parent.mkdir(exist_ok=True)
        shutil.copy(SAMPLE / header, folder / header)
    shutil.copy(SAMPLE / "no_xen/xen.h", folder)  # the one without Xen: a process is no domain
    shutil.copy(SAMPLE / "paravirt.c", folder)
    shutil.copy(Path(__file__).with_name("user.c"), folder)
    ops = (SAMPLE / "paravirt.toml").read_text()
    ops = ops.partition("[backends.shim]")[0]
    (folder / "paravirt.toml").write_text(ops)
    for code, prefixed in PREFIXED.items():
        assert code in ops, code
        ops = ops.replace(code, prefixed)
    (folder / "prefixed_ops.toml").write_text(ops)
    (folder / "prefixed.toml").write_text(CONFIG.replace("paravirt.toml", "prefixed_ops.toml"))
    (folder / "buildplug.toml").write_text(CONFIG)
    (folder / "native.toml").write_text(CONFIG.replace("flags = [", 'flags = ["-DNO_PARAVIRT", ', 1))
    build(folder, folder / "paravirt", None)
    for variant in ("native", "prefixed"):
        build(folder / f"{variant}.toml", folder / variant, None)
    variants = (["native/user"], ["paravirt/user"], ["paravirt/user", "patched"], ["prefixed/user", "patched"])
    found = [[run(variant, folder, "count cycles").output.split() for variant in variants] for _ in range(RUNS)]
    return {
        work: [min(int(turn[variant][number]) for turn in found) for variant in range(len(variants))]
        for number, work in enumerate(WORKS)
    }


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        print(f"{'cycles':<16}{'!paravirt':>12}{'unpatched':>12}{'patched':>12}{'prefixes':>12}  ratios")
        for work, (native, *others) in measure(Path(name)).items():
            counts = "".join(f"{cycles:>12,}" for cycles in (native, *others))
            print(f"{work:<16}{counts}  {', '.join(f'{cycles / native:.3f}' for cycles in others)}", flush=True)


if __name__ == "__main__":
    main()
