"""Linux's System.map, of the symbols that the stage has read, against nm and the commands of scripts/mksysmap."""

from pathlib import Path

import pytest

from buildplug.base.data import build_system
from buildplug.linux.versions import LinkStage
from tests.conftest import tool
from tests.samples import buildplug

# Each of these is left out by one of the commands: of all versions, and of those since 6.12.
LEFT_OUT = ("$d", ".Lhere", "__crc_a", "__kstrtab_a", "__kstrtabns_a", "L0")
BY_NEW = (
    "__efistub_a", "__pi_$a", "__pi_.La", "__kvm_nvhe_$a", "__kvm_nvhe_.La", "__AArch64ADRPThunk_a", "__kcfi_typeid_a",
    "__kvm_nvhe___kcfi_typeid_a", "__pi___kcfi_typeid_a", "a_from_arm", "a_from_thumb", "a_veneer", "_SDA_BASE_",
    "_SDA2_BASE_", "a.long_branch.b", "a.plt_branch.b",
)  # fmt: skip
KEPT = ("zebra", "Apple", "_apple", "a_veneer_b", "L00", "a.long_branch", "__crc", "no$d")
SOURCE = f"""
.weak nowhere
.globl _text, absolute
absolute = 0x1234
local_absolute = 0x1235
.text
_text: nop
{"".join(f'"{name}": ' for name in (*LEFT_OUT, *BY_NEW, *KEPT))} nop
.type function, @function
function: ret
.data
.weak weak_object
.type weak_object, @object
weak_object: .quad nowhere
.bss
number: .skip 8
.section .data..ro_after_init, "aw"
.quad 0
"""


@pytest.fixture
def words(stage: LinkStage, tmp_path: Path) -> list[str | Path]:
    (tmp_path / "k.S").write_text(SOURCE)
    script = ". = 0xffffffff81000000; .text : { *(.text) } .rodata : { *(.rodata*) *(.data..ro_after_init) }"
    script += ".data : { *(.data) } .bss : { *(.bss) }"
    (tmp_path / "k.lds").write_text(f"ENTRY(_text) SECTIONS {{ {script} }}")
    tool("as", "-L", "-o", "k.o", "k.S", cwd=tmp_path)
    ours: list[str | Path] = ["--config", build_system(stage.kallsyms), "--ld", "ld", "--sysmap", "System.map"]
    ours += ["--sysmap-exclude", " ".join(stage.unlisted)] if stage.unlisted else []
    return [*ours, "--discard-none", "-T", "k.lds", "k.o"]


@pytest.mark.parametrize("again", [0, 1])
def test_system_map_is_what_nm_and_mksysmap_make(
    stage: LinkStage, words: list[str | Path], again: int, tmp_path: Path
) -> None:
    image = "vmlinux" if stage.output == "vmlinux" else "vmlinux.unstripped"
    for _ in range(1 + again):
        done = buildplug("ld", *words, "-z", "noexecstack", "-o", image, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    listed = tool("env", "LC_ALL=C", "nm", "-n", image, cwd=tmp_path)
    (tmp_path / "listed").write_text(listed)
    grep = stage.mksysmap[-1] == "> $2"  # else they are commands of sed
    (tmp_path / "mksysmap").write_text((" " if grep else "\n").join(stage.mksysmap))
    command = ["sh", "mksysmap", image, "expected"] if grep else ["sed", "-f", "mksysmap", "-n", "-e", "w expected"]
    tool("env", "LC_ALL=C", "NM=nm", *command, *["listed"][grep:], cwd=tmp_path)
    made = (tmp_path / "System.map").read_text()
    assert made == (tmp_path / "expected").read_text()
    names = {line.split()[2] for line in made.splitlines()}
    assert {*KEPT, *(BY_NEW if grep else ()), "absolute", "weak_object", "number"} <= names
    assert names.isdisjoint({*LEFT_OUT, *(() if grep else BY_NEW), "nowhere", "local_absolute"})
    assert {*LEFT_OUT, *BY_NEW} <= {line.split()[-1] for line in listed.splitlines()}


def test_other_outputs_have_no_system_map(words: list[str | Path], tmp_path: Path) -> None:
    done = buildplug("ld", *words, "-z", "noexecstack", "-o", ".tmp_vmlinux1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "System.map").exists()
