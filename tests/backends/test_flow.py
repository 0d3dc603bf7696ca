"""What a function may write, from code that was assembled and linked, or compiled."""

import re

import pytest

from buildplug.arch.model import Arch
from buildplug.arch.x86 import I386, X86_64
from buildplug.backends.flow import Effect, Follower
from tests.conftest import Link

FRAME = """
    .text
    .globl f, g, slot
    .type f, @function
{code}
    .size f, . - f
    .type g, @function
g:  mov %esi, %ecx
    ret
    .size g, . - g
    .data
slot: .long 0, 0
"""


def effect(link: Link, code: str, known: dict[str, Effect] | None = None, arch: Arch = X86_64) -> Effect:
    image = link(FRAME.format(code=f"f: {code}"), arch=arch)
    addresses = {image.address_of(name): what for name, what in (known or {}).items()}
    return Follower(image, {a: what for a, what in addresses.items() if a is not None}).follow(
        image.address_of("f") or 0
    )


@pytest.mark.parametrize(
    ("code", "written"),
    [
        ("ret", set()),
        ("mov %rdi, %rax; ret", {"rax"}),
        ("xor %eax, %eax; ret", {"rax", "flags"}),
        ("push %rbx; mov %rdi, %rbx; pop %rbx; ret", set()),
        ("push %rbx; push %r12; mov %rdi, %rbx; mov $1, %r12; pop %r12; pop %rbx; ret", set()),
        ("push %rbx; push %r12; mov %rdi, %rbx; pop %rbx; pop %r12; ret", {"rbx", "r12"}),
        ("pushf; incl slot; popf; ret", {"memory"}),
        ("push %rbp; mov %rsp, %rbp; and $-16, %rsp; sub $32, %rsp; leave; ret", {"flags"}),
        ("push %rbp; mov %rsp, %rbp; push %rbx; mov $1, %ebx; mov -8(%rbp), %rbx; leave; ret", set()),
        ("sub $8, %rsp; mov %rcx, (%rsp); call g; mov (%rsp), %rcx; add $8, %rsp; ret", {"flags"}),
        (
            "sub $8, %rsp; mov %rcx, (%rsp); movb $1, 3(%rsp); mov (%rsp), %rcx; lea 8(%rsp), %rsp; ret",
            {"rcx", "flags"},
        ),
        ("mov %rcx, %rax; call g; mov %rax, %rcx; ret", {"rax"}),
        ("call g; ret", {"rcx"}),
        ("jmp g", {"rcx"}),
        ("test %rdi, %rdi; je 1f; mov $1, %eax; 1: ret", {"flags", "rax"}),
        ("push %rbx; test %edi, %edi; je 1f; mov $1, %ebx; 1: pop %rbx; ret", {"flags"}),
        ("1: dec %edi; jne 1b; ret", {"flags", "rdi"}),
        ("test %edi, %edi; jne 1f; ret; 1: mov $1, %ebx; ud2", {"flags"}),
        ("call *slot; ret", set(X86_64.caller_saved)),
        ("mov %rdi, slot; ret", {"memory"}),
        ("mov %rdi, (%rsi); ret", {"memory"}),
        ("xchg %rax, %rbx; ret", {"rax", "rbx"}),
        ("mov $1, %bl; ret", {"rbx"}),
        ("push %rbx; mov $1, %bl; pop %rbx; ret", set()),
    ],
)
def test_what_a_function_leaves_changed_is_found(link: Link, code: str, written: set[str]) -> None:
    found = effect(link, code)
    assert (set(found.written), found.unsure) == (written, "")


def test_the_instruction_that_writes_is_told(link: Link) -> None:
    assert effect(link, "nop; mov %rdi, %r12; ret").written == {"r12": "mov r12, rdi"}


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("jmp *%rax", "'jmp rax' has an unknown target"),
        ("jmp *slot", "'jmp .*' has an unknown target"),
        ("int $3; ret", "'int3' has an unknown target"),
        ("push %rax; ret", "'ret' at 0x[0-9a-f]+ with an unbalanced stack"),
        ("mov %rdi, %rsp; ret", "'ret' at 0x[0-9a-f]+ with an unbalanced stack"),
        ("call f; ret", "(call 0x[0-9a-f]+: )+it calls itself"),
        ("jmp slot", "no instruction at 0x[0-9a-f]+"),
        (".byte 6", "no instruction at 0x[0-9a-f]+"),
    ],
)
def test_what_cannot_be_followed_is_told(link: Link, code: str, why: str) -> None:
    assert re.fullmatch(why, effect(link, code).unsure)


def test_a_known_function_is_not_followed(link: Link) -> None:
    found = effect(link, "call g; ret", {"g": Effect({"r9": "an op"})})
    assert (set(found.written), found.unsure) == ({"r9"}, "")


def test_saved_registers_of_compiled_code_are_kept(link: Link) -> None:
    source = """
        long other(long), sum;
        __attribute__((noinline)) long other(long a) { sum += a; return a * 3; }
        long f(long a, long b, long c) { long x = other(a), y = other(b); return other(c) + x * y; }
    """
    image = link(source, language="c")
    found = Follower(image, {}).follow(image.address_of("f") or 0)
    assert found.unsure == ""
    assert {"rax", "memory"} <= set(found.written) <= X86_64.caller_saved


@pytest.mark.parametrize(
    ("code", "written"),
    [
        ("push %ebx; mov $1, %ebx; pop %ebx; ret", set()),
        ("mov 4(%esp), %eax; ret", {"eax"}),
        ("push %ebp; mov %esp, %ebp; sub $8, %esp; leave; ret", {"flags"}),
        ("inc %edx; ret", {"edx", "flags"}),
    ],
)
def test_so_it_is_on_i386(link: Link, code: str, written: set[str]) -> None:
    found = effect(link, code, arch=I386)
    assert (set(found.written), found.unsure) == (written, "")
