"""Cycles on this processor of the sample kernel's unprivileged ops: without paravirt, with it but unpatched, patched,
patched with sites that only nops pad, and with code that prefixes lengthen wherever they can (padding.py). `python -m
bench.cycles`. Each is the lowest of many tries in alternating runs.
"""

import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.loss import SAMPLE
from buildplug.base.process import run
from buildplug.pipeline.run import build

WORKS = ("pte", "flags")  # as bench/user.c prints them
RUNS = 5
PREFIXES = re.compile(r"\.fill \d+, 1, 0x3e; ")
PREFIXED = {  # inline code of 2 or 3 bytes: prefixes in place of a nop behind it
    f'inline = "{code}': f'inline = ".fill {count}, 1, 0x3e; {code}'
    for code, count in (("mov %{}, (%{ax})", 2), ("pushf; pop", 14))
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


def native_ops() -> str:
    """The ops file, with native's backend alone."""
    return (SAMPLE / "paravirt.toml").read_text().partition("[backends.shim]")[0]


def with_prefixes(ops: str) -> str:
    for code, prefixed in PREFIXED.items():
        assert code in ops, code
        ops = ops.replace(code, prefixed)
    return ops


# name -> the ops file's change; a variant is built with it, and runs with these arguments
VARIANTS: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "unpatched": (str, ()),
    "patched": (str, ("patched",)),
    "nops": (lambda ops: PREFIXES.sub("", ops), ("patched",)),
    "prefixes": (with_prefixes, ("patched",)),
}
NATIVE = "!paravirt"


def program(folder: Path, variant: str, name: str) -> list[str]:
    """Builds a variant as folder/name; the command that runs it."""
    change, arguments = VARIANTS.get(variant, (str, ()))
    (folder / f"{name}_ops.toml").write_text(change(native_ops()))
    flags = '"-DNO_PARAVIRT", ' if variant == NATIVE else ""
    config = CONFIG.replace("paravirt.toml", f"{name}_ops.toml").replace("flags = [", f"flags = [{flags}", 1)
    (folder / f"{name}.toml").write_text(config)
    build(folder / f"{name}.toml", folder / name, None)
    return [f"{name}/user", *arguments]


def measure(folder: Path) -> dict[str, list[int]]:
    """Variant -> cycles of each work."""
    for header in ("x86/paravirt.h", "x86/native.h", "x86/x86.h", "native_entry.S", "function.h", "x86_64/arch.h"):
        (folder / header).parent.mkdir(exist_ok=True)
        shutil.copy(SAMPLE / header, folder / header)
    shutil.copy(SAMPLE / "no_xen/xen.h", folder)  # the one without Xen: a process is no domain
    shutil.copy(SAMPLE / "paravirt.c", folder)
    shutil.copy(Path(__file__).with_name("user.c"), folder)
    names = (NATIVE, *VARIANTS)
    commands = {name: program(folder, name, f"variant{number}") for number, name in enumerate(names)}
    found = [
        {name: run(command, folder, "count cycles").output.split() for name, command in commands.items()}
        for _ in range(RUNS)
    ]
    return {name: [min(int(turn[name][i]) for turn in found) for i in range(len(WORKS))] for name in commands}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        found = measure(Path(name))
    print(f"{'cycles':<16}" + "".join(f"{name:>12}" for name in found) + "  ratios")
    for number, work in enumerate(WORKS):
        native, *others = (cycles[number] for cycles in found.values())
        counts = "".join(f"{cycles:>12,}" for cycles in (native, *others))
        print(f"{work:<16}{counts}  {', '.join(f'{cycles / native:.3f}' for cycles in others)}", flush=True)


if __name__ == "__main__":
    main()
