"""References whose bytes deceive: prefixes, ends of other instructions, data that looks like code."""

import pytest

from buildplug.native import loops
from buildplug.select.references import extract
from tests.conftest import Link
from tests.select.kernel import CODE, KERNEL, LEFT, found, left, rule


@pytest.mark.parametrize("prefix", ["0x2e", "0x3e", "0x66", "0x67", "0xf2", "0x48", "0x67, 0x2e"])
def test_a_prefix_makes_a_call_something_else(link: Link, prefix: str) -> None:
    # it would stay in front of whatever replaces the call; 67 e8 and 2e e8 have forms of their own
    image = link(f"{KERNEL} .byte {prefix}; call pv_f; nop; nop")
    forms = {"0x67": "addr32 call", "0x2e": "cs call"}
    if prefix in forms:
        assert found(image) == [(CODE, forms[prefix], "pv_f", -4)]
    else:
        assert left(image) == {"other": 1}


@pytest.mark.parametrize("prefix", ["0x2e", "0x3e", "0x41", "0xf2"])
def test_a_prefix_makes_a_call_through_a_slot_something_else(link: Link, prefix: str) -> None:
    image = link(f"{KERNEL} .byte {prefix}; call *pv_ops+8(%rip)")
    assert sum(left(image).values()) == 1


@pytest.mark.parametrize("byte", ["0x67", "0x48", "0x2e", "0x66", "0xf3"])
@pytest.mark.parametrize("code", ["call pv_f", "jmp pv_f", "call *pv_ops(%rip)", "jne pv_f", "lea pv_f(%rip), %rax"])
def test_the_end_of_the_instruction_before_is_no_prefix(link: Link, byte: str, code: str) -> None:
    assert [offset for offset, *_ in found(link(f"{KERNEL} mov ${byte}, %al; {code}"))] == [CODE + 2]
    assert [offset for offset, *_ in found(link(f"{KERNEL} movl ${byte}000000, 4(%rdx); {code}"))] == [CODE + 7]


@pytest.mark.parametrize("opcode", ["0xe8", "0xe9", "0xb8", "0xc0"])
def test_the_end_of_an_instruction_before_an_immediate_is_no_opcode(link: Link, opcode: str) -> None:
    # the displacement's last byte stands directly before the immediate
    image = link(f"{KERNEL} movq $pv_f, {opcode}000000 - 0x100000000(%rdi)")
    ((offset, form, symbol, _),) = found(image)
    assert (offset, form, symbol) == (CODE + 7, "imm32s", "pv_f")


def test_data_objects_among_code_are_data(link: Link) -> None:
    source = f"""{KERNEL}
    jmp 1f
    .type list, @object
list:
    .quad pv_f
    .long 0xe8000000
    .quad pv_g
    .size list, . - list
1:  call pv_f
    """
    rows = [(form, symbol) for _, form, symbol, _ in found(link(source))]
    assert rows == [("pointer", "pv_f"), ("pointer", "pv_g"), ("call", "pv_f")]


def test_aligned_data_that_looks_like_code_is_data(link: Link) -> None:
    source = f"{KERNEL}\n.section .rodata\n.byte 0,0,0,0, 0,0,0,0xe8\n.long pv_f - . - 4\n.long 0\n.quad pv_f"
    image = link(source)
    assert found(image, section=".rodata") == [(16, "pointer", "pv_f", 0)]
    assert extract(image, rule(leave=LEFT)).ignored in ({"relative-pointer": 1}, {})


def test_code_behind_data_in_the_code_is_still_found(link: Link) -> None:
    image = link(f"{KERNEL} jmp 1f; .byte 0x06, 0x0e, 0x48; 1: call pv_f; call *pv_ops(%rip)")
    assert [form for _, form, _, _ in found(image, rule(leave=(*LEFT, "other")))][-1] == "call *rip"


@pytest.mark.parametrize("filler", ["0", "0xe8", "0xb8"])
@pytest.mark.parametrize("before", ["", "movups %xmm0, (%rax);"])  # the loop in C does not know that
@pytest.mark.parametrize("pure", [False, True])
def test_bytes_between_functions_do_not_hide_the_start_of_the_next(
    link: Link, filler: str, before: str, pure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if pure:
        monkeypatch.setattr(loops, "library", lambda: None)
    body = f"{before} movl $pv_f, %edi; ret;"
    image = link(f"{KERNEL} {body} .byte {filler}; .type next, @function; next: {body}")
    assert [form for _, form, *_ in found(image)] == ["mov imm32, r32"] * 2
