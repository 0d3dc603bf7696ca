"""Linkers that add code where tables move others: Linux's own link stage may end in "Inconsistent kallsyms data", and
ours may not. The kernels have little but such code; the script that links them is Linux's own."""

import os
import subprocess
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pytest

from buildplug.base.data import build_system
from buildplug.image.elf import Image
from buildplug.linux.versions import SCRIPT
from buildplug.tables.kallsyms_format import UNSIGNED, decode
from tests import linux_image
from tests.conftest import small_linux, tool
from tests.samples import buildplug
from tests.tables.test_kallsyms_format import tables_in

pytestmark = pytest.mark.linux
LINUX = linux_image.LONG_TERM
PREFIX = "aarch64-linux-gnu-"
OURS = ("__bp_", "____bp_")  # symbols of our tables, which kallsyms leave out
# Arm's erratum 843419: where such an adrp is 8 bytes before the end of a page, what follows goes elsewhere.
ERRATUM = """
    .rept {count}
    adrp x0, data
    str x1, [x2]
    ldr x0, [x0, :lo12:data]
    nop
    .endr
"""
FAR = "    .rept {count}\n    bl far\n    .endr\n"  # by a veneer, if that is 128 MiB or more away
LABEL = "label_{}: nop\n"
SOURCE = """
    .globl _text, far, data
    .text
    .type _text, %function
_text:
{code}
    ret
    .section .far, "ax"
    .type far, %function
far:
    ret
    .section .data.rel.ro, "aw"
    .quad _text
    .data
    .balign 8
data:
    .quad 1
"""
LAYOUT = """
ENTRY(_text)
SECTIONS
{{
    . = 0xffff800080000000;
    {first}
    . += {gap:#x};
    .far : {{ *(.far) }}
    .data : {{ *(.data) }}
    .bss : {{ *(.bss) }}
    /DISCARD/ : {{ *(.comment .note* .eh_frame*) }}
}}
"""
RODATA, TEXT = ".rodata : { *(.rodata*) *(.data.rel.ro) }", ".text : { . += PAD; *(.text) }"
FLAGS = ["--fix-cortex-a53-843419", "-z", "noexecstack", "--no-warn-rwx-segments", "--script=./k.lds"]


@dataclass(frozen=True)
class Kernel:
    """A folder with a kernel that Linux's script can link."""

    folder: Path
    tree: Path  # of Linux

    @classmethod
    def made(cls, folder: Path, tree: Path, code: str, first: str, gap: int) -> "Kernel":
        texts = {
            "include/config/auto.conf": "CONFIG_KALLSYMS=y\nCONFIG_KALLSYMS_ALL=y\n",
            "include/asm/bitsperlong.h": "#define BITS_PER_LONG 64\n",
            "init/version-timestamp.S": "    .data\n    .quad 0\n",
            "k.S": SOURCE.format(code=code),
            "k.lds": LAYOUT.format(first=first, gap=gap),
        }
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        (folder / "scripts").symlink_to(tree / "scripts")
        for name in ("k", "init/version-timestamp"):
            tool(f"{PREFIX}gcc", "-c", f"{name}.S", "-o", f"{name}.o", cwd=folder)
        tool(f"{PREFIX}ar", "rcs", "vmlinux.a", "k.o", cwd=folder)
        return cls(folder, tree)

    def stock(self, extra: str = "") -> "subprocess.CompletedProcess[str]":
        """Links by Linux's own script; `extra`: whether by one link more than it takes for needed."""
        env = {
            "MAKE": "true", "srctree": str(self.tree), "objtree": ".", "KBUILD_LDS": "k.lds", "CONFIG_SHELL": "sh",
            "CC": f"{PREFIX}gcc", "KBUILD_CPPFLAGS": "-Iinclude", "KBUILD_AFLAGS": "-D__ASSEMBLY__",
            "NM": f"{PREFIX}nm", "KALLSYMS_EXTRA_PASS": extra,
        }  # fmt: skip
        command: list[str | Path] = ["sh", self.tree / SCRIPT, f"{PREFIX}ld", "", " ".join(FLAGS[:-1])]
        return subprocess.run(
            command, cwd=self.folder, env=os.environ | env, capture_output=True, text=True, check=False
        )

    def listed(self, image: str) -> list[str]:
        """What scripts/mksysmap makes of an image, without our symbols."""
        every = self.folder / "every"
        every.write_text(tool(f"{PREFIX}nm", "-n", image, cwd=self.folder))
        lines = tool("sed", "-f", self.tree / "scripts/mksysmap", every).splitlines(keepends=True)
        return [line for line in lines if not line.split()[-1].startswith(OURS)]

    def mended(self, image: str) -> int:
        """How many pieces of code are elsewhere."""
        return sum("e843419@" in line for line in self.listed(image))

    def check_ours(self) -> None:
        """Fails unless our stage links it, with tables that are those of the image."""
        objects = ["--whole-archive", "vmlinux.a", "init/version-timestamp.o", "--no-whole-archive"]
        ours = ["--config", build_system(LINUX.stage.kallsyms), "--arch", "aarch64", "--ld", f"{PREFIX}ld"]
        (self.folder / "vmlinux").unlink(missing_ok=True)
        done = buildplug("ld", *map(str, ours), *FLAGS, "-o", "vmlinux", *objects, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        image = Image(self.folder / "vmlinux")
        tables = tables_in(image)
        found = decode(replace(tables, held=UNSIGNED, offsets=tables.offsets.view("<u4")), "vmlinux")
        rows = [(int(at, 16), kind, name) for at, kind, name in map(str.split, self.listed("vmlinux"))]
        read = zip(found.addresses.tolist(), map(chr, found.types), map(bytes.decode, found.names), strict=True)
        assert sorted(read) == sorted(rows)
        (self.folder / "map").write_text("".join(self.listed("vmlinux")))
        expected = tool(self.tree / "scripts/kallsyms", "--all-symbols", self.folder / "map")
        assert buildplug("ksyms", image.path, "--format", LINUX.format).stdout == expected


@pytest.fixture(scope="module")
def linux_scripts() -> Path:
    """A tree with the scripts of Linux, and scripts/kallsyms compiled."""
    return small_linux(LINUX).parent


@pytest.mark.parametrize("pad", [0, 8])
def test_where_tables_decide_what_code_the_linker_adds_linux_does_not_converge_and_ours_does(
    linux_scripts: Path, pad: int, tmp_path: Path
) -> None:
    """The tables lie in front of the code, so that their size decides whether it is mended, and with that how many
    symbols there are. Ours are whole pages. If there are such symbols, the first link does not know of them before."""
    for pages, labels in product(range(8, 24), range(4)):  # some tables have such sizes that it ends by chance
        code = ERRATUM.format(count=256 * pages) + "".join(map(LABEL.format, range(labels)))
        folder = tmp_path / f"{pages}-{labels}"
        kernel = Kernel.made(folder, linux_scripts, code, f"{RODATA} {TEXT.replace('PAD', str(pad))}", 1 << 22)
        said = [kernel.stock(extra).stderr for extra in ("", "1")]
        if all("Inconsistent kallsyms data" in one for one in said):
            break
    assert said == ['Inconsistent kallsyms data\nTry "make KALLSYMS_EXTRA_PASS=1" as a workaround\n'] * 2
    names = [f".tmp_vmlinux{number}" for number in (1, 2, 3)]
    assert {kernel.mended(name) for name in (*names, "vmlinux")} == {0, pages}
    kernel.check_ours()
    assert kernel.mended("vmlinux") == (pages if pad else 0)


def test_veneers_of_far_code_have_names_that_linux_leaves_out_so_that_its_tables_keep_their_size(
    linux_scripts: Path, tmp_path: Path
) -> None:
    code = FAR.format(count=16) + "".join(map(LABEL.format, range(1000)))
    kernel = Kernel.made(tmp_path, linux_scripts, code, f"{TEXT.replace('PAD', '0')} {RODATA}", (1 << 27) - 0x3000)
    done = kernel.stock()
    assert done.returncode == 0, done.stderr
    symbols = [tool(f"{PREFIX}nm", name, cwd=tmp_path) for name in (".tmp_vmlinux1", "vmlinux")]
    assert ["far_veneer" in text for text in symbols] == [False, True]
    kernel.check_ours()
    assert "far_veneer" in tool(f"{PREFIX}nm", "vmlinux", cwd=tmp_path)
