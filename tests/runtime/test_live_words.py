"""live.c where instructions are words: what it does to caches, in the compiled code, as emulators have none."""

import re
from itertools import groupby
from pathlib import Path

import pytest

from buildplug.arch import aarch64, riscv
from buildplug.arch.model import Arch
from buildplug.stage import render
from tests import aarch64_code, riscv_code
from tests.conftest import tool

CODE = ((aarch64.AARCH64, aarch64_code), (riscv.RISCV64, riscv_code))
# what makes code visible, and, last, writes that other processors wait for
INSTRUCTIONS = {"aarch64": r"dc\tcvau|ic\tivau|dsb\tish|isb|stlr", "riscv64": r"fence\.i|amoadd\.w\.aqrl"}
WRITER = {
    "aarch64": ["dc cvau", "dsb ish", "ic ivau", "dsb ish", "stlr", "isb"],
    "riscv64": ["amoadd.w.aqrl", "fence.i"],
}


@pytest.mark.parametrize(
    ("arch", "flags"), [(arch, code.FLAGS) for arch, code in CODE], ids=lambda a: getattr(a, "name", "")
)
def test_new_code_is_visible_before_any_processor_continues(tmp_path: Path, arch: Arch, flags: tuple[str, ...]) -> None:
    for name, text in render.runtime(arch, tmp_path).items():
        (tmp_path / name).write_text(text)
    tool("clang", *flags, "-c", tmp_path / "live.c", "-o", tmp_path / "live.o")
    text = tool(f"{arch.target}-objdump", "-d", "--no-show-raw-insn", tmp_path / "live.o")
    text = re.sub(r"\.insn\t4, 0x0*100f\b", "fence.i", text)  # of an object for a machine without Zifencei
    parts = re.split(r"^[0-9a-f]+ <([\w.]+)>:$", text, flags=re.M)
    used = {
        name: [found.replace("\t", " ") for found, _ in groupby(re.findall(rf"\t({INSTRUCTIONS[arch.name]})\b", code))]
        for name, code in zip(parts[1::2], parts[2::2], strict=True)
    }
    writer = WRITER[arch.name]
    assert used["bp_live_apply"][-len(writer) :] == writer
    assert writer[-1] in used["bp_live_attend"]
