"""Builds for aarch64 and riscv64 with what linkers are told to do with code: collect it, make it independent of its
position, optimize it as a whole, relax it or not, mend it. The program uses its tables in QEMU."""

import json
from pathlib import Path

import pytest

from tests.conftest import tool
from tests.machines import SCRIPT
from tests.pipeline import test_aarch64, test_riscv64
from tests.samples import buildplug, built, edit

LINKERS = {arch: (f"{arch}-linux-gnu-ld", "ld.lld", "ld.lld-19") for arch in ("aarch64", "riscv64")}
PROGRAMS = {
    "aarch64": (test_aarch64.PROJECT, test_aarch64.SOURCE),
    "riscv64": (test_riscv64.PROJECT.replace("{relax}", "-mno-relax"), test_riscv64.SOURCE),
}
RULES = ("calls", "static_calls", "extable", "exports", "relocs", "ksyms")
OPTIONS = {  # flags of the linker, flags of the compiler
    "gc": (("--gc-sections",), ("-ffunction-sections", "-fdata-sections")),
    "no relaxation": (("--no-relax",), ()),
    "mended": (("--fix-cortex-a53-843419",), ()),
    "pie": (("-pie", "--no-dynamic-linker", "-z", "notext"), ("-fpie",)),
    "lto": ((), ("-flto",)),
}
UNUSED = "__attribute__((noinline)) void unused(void) { __fentry__(); }\n"


def made_by(arch: str, option: str) -> tuple[str, ...]:
    """The linkers that have the option. GNU ld reads no bitcode of clang, and lld 14 takes its own code for riscv64 for
    that of another ABI."""
    if option == "mended" and arch != "aarch64":
        return ()
    return LINKERS[arch][{"aarch64": 1, "riscv64": 2}[arch] if option == "lto" else 0 :]


def project(folder: Path, arch: str, ld: str, option: str) -> None:
    config, source = PROGRAMS[arch]
    link, compiled = OPTIONS[option]
    link = (*link, "--no-relax") if arch == "riscv64" else link  # for `exports`
    rules = [rule for rule in RULES if option != "pie" or rule != "relocs"]
    (folder / "buildplug.toml").write_text(
        config.format(ld=ld) + "".join(f'[[table]]\nrule = "{rule}"\n' for rule in rules)
    )
    edit(folder / "buildplug.toml", ("[link]\n", f"[link]\nflags = {json.dumps(link)}\n"),
         ('"-fno-pic"', json.dumps(["-fno-pic", *compiled])[1:-1]))  # fmt: skip
    # GNU ld makes an image of -pie that is not to be loaded at 0 one that is not to be moved.
    (folder / "kernel.lds").write_text(SCRIPT.replace("0x400000", "0" if option == "pie" else "0x400000"))
    edit(folder / "kernel.lds", (".got :", "__global_pointer$ = . + 0x800;\n    .got :"),
         (".bss :", ".bp_pad : { end = . + 0x100; }\n    .bss :"))  # fmt: skip
    if option == "pie":  # nothing fills in addresses of data
        source = f"#pragma GCC visibility push(hidden)\n{source}".replace("where == table + 7", "1")
        if arch == "riscv64":
            before, _, rest = source.replace('#include "relocs.h"\n', "").partition("enum { HEAP")
            source = (
                before + "static int slide(void) { return 1; }\n\nstatic int run" + rest.partition("static int run")[2]
            )
    (folder / "main.c").write_text(source + UNUSED * (option == "gc"))


@pytest.mark.parametrize(
    ("arch", "option", "ld"),
    [(arch, option, ld) for arch in LINKERS for option in OPTIONS for ld in made_by(arch, option)],
)
def test_program_uses_its_tables(tmp_path: Path, arch: str, option: str, ld: str) -> None:
    project(tmp_path, arch, ld, option)
    record = built(tmp_path)
    image = tmp_path / "build" / "vmlinux"
    tool(f"qemu-{arch}", image)
    assert record["tables"]["calls"]["rows"] == 2
    assert "unused" not in tool("nm", image)
    assert ("DYN (" in tool("readelf", "-h", image)) == (option == "pie")
    done = buildplug("verify", tmp_path / "build" / "vmlinux.draft", image, "--config", tmp_path)
    assert done.returncode == 0, done.stderr
