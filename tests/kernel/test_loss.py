"""A paravirt kernel on bare hardware loses nothing: the same work in the sample kernel with paravirt and without it,
by QEMU's count of instructions; and every site that fixup leaves, by objdump."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from bench import loss
from bench.executed import counted, traced
from buildplug.arch.form import JUMP
from buildplug.arch.x86 import X86_64
from buildplug.config.ops import read
from buildplug.image.elf import Image
from tests.conftest import tool

WORKS = {"irq": 100, "pte": 2, "storm": 20, "mixed": 20}  # rounds


ARCHES = ("x86_64", "aarch64", "riscv64")
FAST = {"x86_64": set(WORKS), "aarch64": {"mixed"}, "riscv64": {"mixed"}}
MEASURED = [
    pytest.param(arch, work, marks=[] if work in FAST[arch] else pytest.mark.slow) for arch in ARCHES for work in WORKS
]


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], loss.Kernels]:
    """Builds the variants for an architecture, once."""
    return cache(lambda arch: loss.kernels(tmp_path_factory.mktemp("loss") / "kernel", arch))


@pytest.mark.parametrize("arch", ARCHES)
def test_counter_is_one_of_instructions(kernels: Callable[[str], loss.Kernels], arch: str) -> None:
    native = kernels(arch).native
    assert counted(native, "loop", 3000) - counted(native, "loop", 1000) == 2 * 2000


@pytest.mark.parametrize(("arch", "work"), MEASURED)
def test_patched_kernel_executes_what_one_without_paravirt_does_and_nops(
    kernels: Callable[[str], loss.Kernels], arch: str, work: str
) -> None:
    built, rounds = kernels(arch), WORKS[work]
    native, unpatched = (counted(way, work, rounds) for way in (built.native, built.unpatched))
    patched = traced(built.patched, work, rounds)
    assert native <= patched.instructions < unpatched
    assert patched.instructions - patched.among(built.nops) <= native * 1.001


def test_every_site_has_the_native_instructions_and_nops(
    kernels: Callable[[str], loss.Kernels], tmp_path: Path
) -> None:
    built = kernels("x86_64")
    declared = read(built.patched.image.parent.parent / "paravirt.toml", X86_64)
    names, forms = list(declared.ops), built.patched.text.arch.forms
    native = declared.backends["native"]
    (tmp_path / "ops.S").write_text("".join(f"{name}: {way.inline}\n nop\n" for name, way in native.items()))
    tool("gcc", "-c", "ops.S", "-o", "ops.o", cwd=tmp_path)
    wanted = dict[str, list[str]]()
    for label, text in re.findall(r"<(\w+)>:\n((?:.+\n)+)", listing(tmp_path / "ops.o")):
        wanted[label] = [code for _, code in lines(text)][:-1]
    code = dict(lines(listing(built.patched.text.path)))
    longer = set()
    for address, number, op in loss.sites(Image(built.patched.image)):
        form, name = forms[number], names[op]
        if not form.kind.inline or native[name].function:
            continue
        expected = wanted[name] + ["ret"] * form.kind.returns
        found = [code[place] for place in range(address, address + form.length) if place in code]
        if found[0].endswith(f"<bp_paravirt_native__{name}>"):
            longer.add((name, form.kind))
        else:
            assert found[: len(expected)] == expected, (hex(address), name)
            found = found[len(expected) :]
            assert all(re.match(r"(data16 |cs |ds )*(nop|xchg +%ax,%ax)", nop) for nop in found), (hex(address), found)
    assert longer == {("flush_tlb", JUMP)}


def listing(path: Path) -> str:
    return tool("objdump", "-d", "--no-show-raw-insn", path)


def lines(text: str) -> list[tuple[int, str]]:
    """Address and instruction of each line of a listing."""
    found = re.findall(r"^ *([0-9a-f]+):\t(.+?) *(?:#.*)?$", text, re.M)
    return [(int(address, 16), re.sub(r"\s+", " ", code)) for address, code in found]
