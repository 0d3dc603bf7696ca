"""pv_op!: what the compiler is told of a call, in the language of LLVM, which is how it keeps all other registers."""

import re
from pathlib import Path

import pytest

from buildplug.arch.x86 import X86_64
from buildplug.config import ops
from buildplug.config.rule import find
from buildplug.stage import render
from tests.conftest import tool
from tests.runtime.rust import STRICT

OPS = """
[ops]
off = { function = "pv_off", clobbers = ["memory"] }
write = { function = "pv_write", clobbers = ["flags", "memory"] }
same = { each = "general", function = "pv_same_{}", clobbers = ["{}"] }
read = { function = "pv_read", clobbers = ["ax", "flags"] }
four = { slot = "pv_ops[2]", clobbers = ["ax", "bx", "cx", "dx", "memory"] }
c = { function = "pv_c" }
[backends]
"""
FLAGS = "~{dirflag},~{fpsr},~{flags},"
CALLS = {  # a call and what it is worth -> its instructions, and its constraints
    "off => ()": ("call pv_off", "~{memory}"),
    "write, rax = one => ()": ("call pv_write", f"{{ax}},{FLAGS}~{{memory}}"),
    "write, rax = wide, r9 = one => ()": ("call pv_write", f"{{ax}},{{r9}},{FLAGS}~{{memory}}"),
    "write, rbx = place => ()": ("xchg call pv_write xchg", f"=&r,0,{FLAGS}~{{memory}}"),
    "read => usize": ("call pv_read", f"=&{{ax}},0,{FLAGS}~{{memory}}"),
    "same_r10, r10 = one => usize": ("call pv_same_r10", "=&{r10},0,~{memory}"),
    "same_rbx, rbx = one => usize": ("xchg call pv_same_rbx xchg", "=&r,0,~{memory}"),
    "four, rax = one, rcx = one => [usize; 4]": (
        "xchg call *pv_ops+16(%rip) xchg",
        "=&r,=&{ax},=&{cx},=&{dx},0,1,2,3,~{memory}",
    ),
}
FUNCTION = """
#[allow(unused_variables, clippy::unused_unit)]
#[no_mangle]
unsafe fn call_{number}(one: u32, wide: u64, place: *mut u8) -> {result} {{
    pv_op!({call})
}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the module of these ops."""
    folder = tmp_path_factory.mktemp("pv_op")
    (folder / "ops.toml").write_text(OPS)
    declared = ops.read(folder / "ops.toml", X86_64)
    for name, text in render.rust(X86_64, find("paravirt", folder), folder, declared).items():
        (folder / name).write_text(text)
    return folder


def said(folder: Path, calls: list[str]) -> list[tuple[str, str]]:
    """The instructions and constraints that clippy has nothing to say of, and the compiler hands on."""
    text = "#![no_std]\npub mod bp_paravirt;\n"
    for number, call in enumerate(calls):
        written, _, result = call.partition(" => ")
        text += FUNCTION.format(number=number, call=written, result=result)
    (folder / "calls.rs").write_text(text)
    words = (*STRICT, "--crate-type", "lib", "calls.rs")
    tool("clippy-driver", *words, "--emit", "metadata", cwd=folder)
    tool("rustc", *words, "-O", "-Ccodegen-units=1", "--emit", "llvm-ir", cwd=folder)
    found = re.findall(r'asm sideeffect alignstack "(.*?)", "(.*?)"', (folder / "calls.ll").read_text())
    return [(" ".join(re.sub(r"xchg [^\\]*", "xchg", each).split("\\0A")), constraints) for each, constraints in found]


def test_the_compiler_knows_exactly_the_registers_of_the_ops_file(folder: Path) -> None:
    assert said(folder, list(CALLS)) == list(CALLS.values())


def test_an_op_without_clobbers_is_called_as_a_function_of_c(folder: Path) -> None:
    ((code, constraints),) = said(folder, ["c, rsi = one, rdi = wide => usize"])
    assert code == "call pv_c"
    named = {*re.findall(r"[&~]?\{(\w+)\}", constraints)}
    assert {"ax", "cx", "dx", "si", "di", "r8", "r9", "r10", "r11", "xmm0", "memory"} <= named
    assert not named & {"bx", "bp", "r12", "r15"}


def test_a_register_that_is_given_twice_or_an_op_that_is_unknown_does_not_compile(folder: Path) -> None:
    for call in "off, rax = one, rax = one", "of":
        with pytest.raises(AssertionError, match="no rules expected"):
            said(folder, [f"{call} => ()"])
