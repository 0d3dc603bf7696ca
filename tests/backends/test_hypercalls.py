"""What a hypercall changes, and what code that cannot be followed is said to."""

import pytest

from buildplug.arch.x86 import X86_64
from buildplug.backends import clobbers
from buildplug.backends.flow import Follower
from buildplug.base.errors import BuildplugError
from buildplug.tables.sites import table_of
from tests.conftest import Drafted, Link

ARGUMENTS = {"rdi", "rsi", "rdx", "r10", "r8", "r9"}
KERNEL = """
    .text
    .globl pv_a, pv_b, other
    .type pv_a, @function
pv_a: ret
    .size pv_a, . - pv_a
    .type pv_b, @function
pv_b: ret
    .size pv_b, . - pv_b
    .type forced, @function
    .globl forced
forced: ud2; .ascii "xen"; cpuid; ret
    .size forced, . - forced
    .type other, @function
other: {code}
    .size other, . - other
    call pv_a
    call pv_b
"""
OPS = """
[ops.a]
function = "pv_a"
clobbers = ["ax", "bx", "cx", "dx"]
[ops.b]
function = "pv_b"
clobbers = ["flags"]
[backends.xen]
a = {{ {way} }}
b = {{ function = "other" }}
"""
FORCED = "inline = '.byte 15, 11; .ascii \"xen\"; cpuid'"


def checked(drafted: Drafted, way: str, code: str = "ret") -> None:
    draft = drafted(KERNEL.format(code=code), OPS.format(way=way))
    table, _ = table_of(draft.image, draft.rule, draft.ops)
    clobbers.check(draft.image, draft.rule, draft.ops, table)


def test_a_hypercall_may_destroy_its_arguments_and_memory(link: Link) -> None:
    image = link(
        ".text\n.globl f\n.type f, @function\nf: push %rdi; mov $29, %eax; syscall; pop %rdi; ret\n.size f, . - f"
    )
    found = Follower(image, {}).follow(image.address_of("f") or 0)
    assert set(found.written) == (ARGUMENTS - {"rdi"}) | {"rax", "rcx", "r11", "flags", "memory"}
    assert not found.unsure
    assert X86_64.registers >= set(found.written)


@pytest.mark.parametrize("name", ["vmcall", "vmmcall"])
def test_a_call_of_any_hypervisor_writes_its_answer_and_memory(link: Link, name: str) -> None:
    image = link(f".text\n.globl f\n.type f, @function\nf: mov $1, %eax; {name}; xor %eax, %eax; ret\n.size f, . - f")
    assert set(Follower(image, {}).follow(image.address_of("f") or 0).written) == {"rax", "flags", "memory"}


def test_an_op_whose_code_makes_a_hypercall_must_say_so(drafted: Drafted) -> None:
    with pytest.raises(BuildplugError, match="'syscall' writes flags, memory, r10, r11, r8, r9, rdi, rsi; expected"):
        checked(drafted, 'inline = "mov $17, %eax; syscall"')


@pytest.mark.parametrize("way", [FORCED, 'function = "forced"'])
def test_bytes_that_are_no_instructions_need_a_word_of_what_they_write(drafted: Drafted, way: str) -> None:
    checked(drafted, f'{way}, writes = ["ax", "bx", "cx", "dx"]')
    with pytest.raises(
        BuildplugError, match=r"op a: writes: found flags; expected only rax, rbx, rcx, rdx; declare it"
    ):
        checked(drafted, f'{way}, writes = ["flags"]')
    with pytest.raises(BuildplugError, match=r"op a: writes: unknown register 'xa'"):
        checked(drafted, f'{way}, writes = ["xa"]')


def test_without_that_word_such_bytes_are_refused_inline(drafted: Drafted) -> None:
    with pytest.raises(BuildplugError, match="backend xen, op a: expected"):
        checked(drafted, FORCED)


@pytest.mark.parametrize("code", ["jmp forced", "call forced; ret", "test %eax, %eax; je forced; ret"])
def test_code_that_goes_there_writes_what_is_said(drafted: Drafted, code: str) -> None:
    with pytest.raises(BuildplugError, match=r"op b: '.*' writes rbx; expected only flags"):
        checked(drafted, 'function = "forced", writes = ["bx"]', code)
