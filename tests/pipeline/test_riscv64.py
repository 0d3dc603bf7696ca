"""Builds for riscv64: rules of references and records, used by the program itself in QEMU."""

import re
from pathlib import Path

import pytest

from tests.conftest import tool
from tests.machines import SCRIPT
from tests.samples import buildplug, built, edit, one_line

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
"""
TABLES = "".join(
    f'[[table]]\nrule = "{rule}"\n' for rule in ("calls", "static_calls", "extable", "exports", "relocs", "ksyms")
)

SOURCE = r"""
#include "bp_calls.h"
#include "bp_exports.h"
#include "bp_extable.h"
#include "bp_static_calls.h"
#include "relocs.h"

extern char start[] __asm__("__ehdr_start"), end[];
extern const struct bp_calls bp_calls;
extern const struct bp_exports bp_exports;
extern const struct bp_extable bp_extable;
extern const struct bp_relocs bp_relocs;
extern const struct bp_static_calls bp_static_calls;

__attribute__((noinline)) void __fentry__(void) { asm volatile(""); }
__attribute__((noinline)) int one(int x) { __fentry__(); return x + 1; }
__attribute__((noinline)) int two(int x) { __fentry__(); return one(x) + 2; }
BP_EXPORT(two, "own");
BP_STATIC_CALL(step, one);

__attribute__((noinline)) int call(int x) { int y = bp_static_call(step)(x); asm volatile("" : "+r"(y)); return y; }
__attribute__((noinline)) int tail(int x) { return bp_static_call(step)(x); }

static bp_uint32_t written;

static void write(void *context, void *site, const void *bytes, bp_uint32_t length)
{
    (void)context;
    for (bp_uint32_t i = 0; i < length / 2; i++)
        ((volatile bp_uint16_t *)site)[i] = ((const bp_uint16_t *)bytes)[i];
    written++;
}

static int set(int (*function)(int))
{
    return bp_static_calls_set(&bp_static_calls, (bp_uintptr_t)&bp_static_call(step), (bp_uintptr_t)function, start,
                               end, write, 0);
}

enum { HEAP = 0x40000 };

static int more = 7, *where = &more;
static int (*function)(int) = one;
static bp_uint64_t room[HEAP / 8] __attribute__((aligned(4096)));

/* Runs in a copy of the image, too. */
__attribute__((noinline)) int probe(void) { return *where + function(*where) + (where == &more) + (function == one); }

static int slide(void)
{
    bp_uintptr_t by = (bp_uintptr_t)room - ((bp_uintptr_t)start & -4096ul);
    const char *from = (char *)((bp_uintptr_t)room - by), *stop = (char *)&bp_relocs + bp_relocs.size;

    stop = stop > end ? stop : end;
    if (stop > (char *)room || stop - from > HEAP)
        return 0;
    for (bp_uintptr_t i = 0; i < (bp_uintptr_t)(stop - from); i++)
        ((volatile char *)room)[i] = ((volatile const char *)from)[i];
    if (bp_relocate((void *)((char *)&bp_relocs + by), room, (char *)room + (stop - from), by).error)
        return 0;
    *(int *)((char *)&more + by) = 20;
    asm volatile("fence.i" : : : "memory");
    return ((int (*)(void))((char *)probe + by))() == 43 && probe() == 17;
}

static int run(void)
{
    bp_uintptr_t found;

    if (call(10) != 11 || tail(10) != 11)
        return 11;
    if (!set(two) || call(10) != 13 || tail(10) != 13 || bp_static_call(step)(10) != 13)
        return 12;
    if (!set(one) || call(10) != 11 || tail(10) != 11)
        return 13;
    if (written != 8 || set((int (*)(int))0x10000000000) || written != 8 || call(10) != 11)
        return 14;
    if (!slide())
        return 15;
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
    (tmp_path / "buildplug.toml").write_text(PROJECT.format(ld=ld, relax=relax) + TABLES)
    (tmp_path / "main.c").write_text(SOURCE)
    (tmp_path / "kernel.lds").write_text(SCRIPT)
    if "lld" in ld:  # it keeps no relocations of sections that are not loaded, which say where a namespace is
        edit(tmp_path / "buildplug.toml", ('[[table]]\nrule = "exports"\n', ""))
        edit(tmp_path / "main.c", ('#include "bp_exports.h"\n', ""), ('BP_EXPORT(two, "own");', ""),
             ("extern const struct bp_exports bp_exports;\n", ""), (" || bp_exports.rows != 1", ""))  # fmt: skip
    edit(tmp_path / "kernel.lds", (".got :", "__global_pointer$ = . + 0x800;\n    .got :"),
         (".bss :", ".bp_pad : { end = . + 0x100; }\n    .bss :"))  # fmt: skip
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


def test_lld_that_relaxes_keeps_no_relocations_for_exports(tmp_path: Path) -> None:
    config = tmp_path / "buildplug.toml"
    config.write_text(PROJECT.format(ld="ld.lld-19", relax="-mno-relax") + '[[table]]\nrule = "exports"\n')
    (tmp_path / "main.c").write_text('#include "bp_exports.h"\nvoid _start(void) {}\nBP_EXPORT(_start, "own");\n')
    (tmp_path / "kernel.lds").write_text(SCRIPT)
    message = one_line(buildplug("build", tmp_path).stderr)
    assert "member namespace: expected the address of a string, found 0x0" in message
    assert "link with --no-relax" in message
    edit(config, ("[link]\n", '[link]\nflags = ["--no-relax"]\n'))
    assert built(tmp_path)["tables"]["exports"]["rows"] == 1


def test_code_that_could_not_slide_is_refused(tmp_path: Path) -> None:
    script = SCRIPT.replace(".got :", "__global_pointer$ = . + 0x800;\n    .got :")
    project = PROJECT.format(ld=LINKERS[0], relax="-mno-relax").replace("medany", "medlow")
    (tmp_path / "buildplug.toml").write_text(project + '[[table]]\nrule = "relocs"\n')
    (tmp_path / "main.c").write_text("int data; int *_start(void) { return &data; }\n")
    (tmp_path / "kernel.lds").write_text(script)
    message = one_line(buildplug("build", tmp_path).stderr)
    assert ".text+0x" in message
    assert "expected code that refers by a distance, found hi20 of data+0x0, which is absolute" in message
    assert "compile with -mcmodel=medany" in message
