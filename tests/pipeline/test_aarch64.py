"""Builds for aarch64: rules of references, relocations and records, used by the program itself in QEMU."""

import re
import shutil
from pathlib import Path

import pytest

from buildplug.image.elf import Image
from tests.conftest import tool
from tests.machines import SCRIPT
from tests.samples import buildplug, built, edit

LINKERS = ("aarch64-linux-gnu-ld", "ld.lld", "ld.lld-19")
PROJECT = """[kernel]
arch = "aarch64"
[toolchain]
cc = "clang"
ld = "{ld}"
[compile]
sources = ["main.c"]
cflags = ["-O2", "-ffreestanding", "-fno-pic", "-mgeneral-regs-only"]
[link]
script = "kernel.lds"
"""
TABLES = "".join(
    f'[[table]]\nrule = "{rule}"\n' for rule in ("calls", "static_calls", "extable", "exports", "relocs", "ksyms")
)

SOURCE = r"""
#include "bp_static_calls.h"
#include "bp_extable.h"
#include "bp_exports.h"
#include "bp_calls.h"

extern char start[] __asm__("__ehdr_start"), end[];
extern const struct bp_static_calls bp_static_calls;
extern const struct bp_extable bp_extable;
extern const struct bp_exports bp_exports;
extern const struct bp_calls bp_calls;

__attribute__((noinline)) void __fentry__(void) { asm volatile(""); }
__attribute__((noinline)) int one(int x) { __fentry__(); return x + 1; }
__attribute__((noinline)) int two(int x) { __fentry__(); return x + 2; }
BP_STATIC_CALL(step, one);
BP_EXPORT(two, "own");
int table[40], *where = table + 7;

__attribute__((noinline)) int call(int x) { int y = bp_static_call(step)(x); asm volatile("" : "+r"(y)); return y; }
__attribute__((noinline)) int tail(int x) { return bp_static_call(step)(x); }
__attribute__((noinline)) int conditional(int x)
{
    register int y asm("w0") = x;

    asm volatile("mov x9, x30\n\tadr x30, 1f\n\tcbnz w0, __SCT__step\n1:\tmov x30, x9"
                 : "+r"(y) : : "x9", "x16", "x17", "x30");
    return y;
}

static void write(void *context, void *site, const void *bytes, bp_uint32_t length)
{
    (void)context;
    if (length == 4)
        *(volatile bp_uint32_t *)site = *(const bp_uint32_t *)bytes;
}

static int set(int (*function)(int))
{
    return bp_static_calls_set(&bp_static_calls, (bp_uintptr_t)&bp_static_call(step), (bp_uintptr_t)function, start,
                               end, write, 0);
}

static int run(void)
{
    const char *found;

    if (call(10) != 11 || tail(10) != 11 || conditional(10) != 11)
        return 1;
    if (!set(two) || call(10) != 12 || tail(10) != 12 || conditional(10) != 12)
        return 2;
    if (!set(one) || call(10) != 11 || tail(10) != 11 || conditional(10) != 11)
        return 3;
    if (set((int (*)(int))0x10000000000) || call(10) != 11)
        return 4;
    if (bp_calls.rows != 2)
        return 5;
    asm volatile("1: nop\n2:\n\t" BP_EXTABLE("1b", "2b") "\n\tadr %0, 1b" : "=r"(found));
    if (bp_extable_find(&bp_extable, 0x1000, (bp_uintptr_t)found) != (bp_uintptr_t)found + 4)
        return 6;
    return where == table + 7 ? 0 : 7;
}

void _start(void)
{
    register long code asm("x0") = run(), number asm("x8") = 93;

    asm volatile("svc #0" : : "r"(code), "r"(number));
    __builtin_trap();
}
"""


def project(folder: Path, ld: str, tables: str = TABLES) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "buildplug.toml").write_text(PROJECT.format(ld=ld) + tables)
    (folder / "main.c").write_text(SOURCE)
    (folder / "kernel.lds").write_text(SCRIPT.replace(".bss :", ".bp_pad : { end = . + 0x100; }\n    .bss :"))
    return folder


@pytest.mark.parametrize("ld", LINKERS)
def test_program_uses_a_table_of_every_kind(tmp_path: Path, ld: str) -> None:
    folder = project(tmp_path / "kernel", ld)
    assert built(folder)["links"] in (1, 2)
    tool("qemu-aarch64", folder / "build" / "vmlinux")
    images = [folder / "build" / name for name in ("vmlinux.draft", "vmlinux")]
    assert buildplug("verify", *images, "--config", folder).returncode == 0


@pytest.mark.parametrize("ld", LINKERS)
def test_calls_are_those_that_objdump_sees(tmp_path: Path, ld: str) -> None:
    folder = project(tmp_path / "kernel", ld)
    built(folder)
    image = folder / "build" / "vmlinux"
    said = re.findall(
        r"^0x([0-9a-f]+) \S+ call 4 __fentry__", buildplug("extract", image, "--rule", "calls").stdout, re.M
    )
    text = tool("aarch64-linux-gnu-objdump", "-d", image)
    assert said == re.findall(r"^ +([0-9a-f]+):\t[0-9a-f]{8} \tbl\t[0-9a-f]+ <__fentry__>", text, re.M)
    assert len(said) == 2


def test_after_a_change_one_link_makes_the_image_of_a_clean_build(tmp_path: Path) -> None:
    folder = project(tmp_path / "kernel", LINKERS[1])
    built(folder)
    edit(folder / "main.c", ("x + 2", "x + 3"), ("table + 7", "table + 8"))
    changed = built(folder)
    assert changed["links"] == 1
    shutil.rmtree(folder / "build")
    assert built(folder)["outputs"]["vmlinux"] == changed["outputs"]["vmlinux"]


def test_a_changed_branch_is_found_by_the_proof(tmp_path: Path) -> None:
    folder = project(tmp_path / "kernel", LINKERS[0])
    built(folder)
    image = Image(folder / "build" / "vmlinux")
    text, data = image.section(".text"), bytearray(image.path.read_bytes())
    call = next(at for at in range(text.offset, text.offset + text.size, 4) if data[at + 3] in (0x94, 0x97))
    data[call] ^= 1
    image.path.write_bytes(data)
    done = buildplug("verify", folder / "build" / "vmlinux.draft", image.path, "--config", folder)
    assert done.returncode == 1
    assert "does not hold what its relocation says" in done.stderr


def test_linker_may_relax_an_address_in_one_of_the_links_only(tmp_path: Path) -> None:
    """Between the sizes of the empty tables and those of the final ones, `where` gets more than 1 MiB away."""
    folder = project(tmp_path / "kernel", "ld.lld")
    edit(folder / "main.c", ("void _start", "void *place(void) { return &where; }\n\nvoid _start"))
    built(folder)
    images = [folder / "build" / "vmlinux.draft", folder / "build" / "vmlinux"]
    far = [(i.address_of("where") or 0) - (i.address_of("place") or 0) for i in map(Image, images)]
    edit(folder / "kernel.lds", (".data :", f".data . + {(1 << 20) - sum(far) // 2 & ~0xF:#x} :"))
    shutil.rmtree(folder / "build")
    built(folder)
    codes = [tool("aarch64-linux-gnu-objdump", "-d", "--disassemble=place", image) for image in images]
    assert ["\tadrp\t" in code for code in codes] == [False, True]
    data = bytearray(images[1].read_bytes())
    text = Image(images[1]).section(".text")
    at = text.offset + (Image(images[1]).address_of("place") or 0) - text.address + 4
    data[at] ^= 1  # another register
    images[1].write_bytes(data)
    done = buildplug("verify", *images, "--config", folder)
    assert done.returncode == 1
    assert "(place+0x4) was" in done.stderr
