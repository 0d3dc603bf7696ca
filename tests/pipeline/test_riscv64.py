"""Builds for riscv64: rules of references and records that change no code, used by the program itself in QEMU."""

import re
from pathlib import Path

import pytest

from tests.conftest import tool
from tests.machines import SCRIPT
from tests.samples import buildplug, built, edit

LINKERS = ("riscv64-linux-gnu-ld", "ld.lld-19")
PROJECT = """[kernel]
arch = "riscv64"
[toolchain]
cc = "clang"
ld = "{ld}"
[compile]
sources = ["main.c"]
cflags = ["-O2", "-ffreestanding", "-fno-pic", "-mcmodel=medany", "{relax}"]
[link]
script = "kernel.lds"
""" + "".join(f'[[table]]\nrule = "{rule}"\n' for rule in ("calls", "extable", "exports", "ksyms"))

SOURCE = r"""
#include "bp_calls.h"
#include "bp_exports.h"
#include "bp_extable.h"

extern const struct bp_calls bp_calls;
extern const struct bp_exports bp_exports;
extern const struct bp_extable bp_extable;

__attribute__((noinline)) void __fentry__(void) { asm volatile(""); }
__attribute__((noinline)) int one(int x) { __fentry__(); return x + 1; }
__attribute__((noinline)) int two(int x) { __fentry__(); return one(x) + 2; }
BP_EXPORT(two, "own");

static int run(void)
{
    bp_uintptr_t found;

    if (two(1) != 4 || bp_calls.rows != 2 || bp_exports.rows != 1)
        return 1;
    asm volatile("1: nop\n2:\n\t" BP_EXTABLE("1b", "2b") "\n\tlla %0, 1b" : "=r"(found));
    return bp_extable_find(&bp_extable, 0x1000, found) == found + 2 ? 0 : 2;
}

void _start(void)
{
    register long code asm("a0"), number asm("a7") = 93;

    asm volatile(".option push\n\t.option norelax\n\tlla gp, __global_pointer$\n\t.option pop");
    code = run();
    asm volatile("ecall" : : "r"(code), "r"(number));
    __builtin_trap();
}
"""


@pytest.mark.parametrize("relax", ["-mrelax", "-mno-relax"])
@pytest.mark.parametrize("ld", LINKERS)
def test_program_uses_tables_of_references_and_records(tmp_path: Path, ld: str, relax: str) -> None:
    (tmp_path / "buildplug.toml").write_text(PROJECT.format(ld=ld, relax=relax))
    (tmp_path / "main.c").write_text(SOURCE)
    (tmp_path / "kernel.lds").write_text(SCRIPT)
    if "lld" in ld:  # it keeps no relocations of sections that are not loaded, which say where a namespace is
        edit(tmp_path / "buildplug.toml", ('[[table]]\nrule = "exports"\n', ""))
        edit(tmp_path / "main.c", ('#include "bp_exports.h"\n', ""), ('BP_EXPORT(two, "own");', ""),
             ("extern const struct bp_exports bp_exports;\n", ""), (" || bp_exports.rows != 1", ""))  # fmt: skip
    edit(tmp_path / "kernel.lds", (".got :", "__global_pointer$ = . + 0x800;\n    .got :"))
    built(tmp_path)
    image = tmp_path / "build" / "vmlinux"
    tool("qemu-riscv64", image)
    images = [tmp_path / "build" / name for name in ("vmlinux.draft", "vmlinux")]
    assert buildplug("verify", *images, "--config", tmp_path).returncode == 0
    listed = buildplug("extract", image, "--rule", "calls").stdout
    said = [int(address, 16) for address in re.findall(r"^0x([0-9a-f]+) \S+ call \d __fentry__", listed, re.M)]
    text = tool("riscv64-linux-gnu-objdump", "-d", image)
    found = re.findall(r"^ +([0-9a-f]+):\t[0-9a-f]+ +\t(jalr?)\t.*<__fentry__>", text, re.M)
    assert said == [int(address, 16) - 4 * (name == "jalr") for address, name in found]
    assert len(said) == 2
