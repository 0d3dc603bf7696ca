"""References that no fixup redirects: they are counted by kind, or are an error."""

import pytest

from buildplug.base.errors import BuildplugError
from buildplug.select.references import extract
from tests.conftest import Link
from tests.select.kernel import KERNEL, left, rule


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("mov pv_ops+8(%rip), %rax", "slot-load"),
        ("mov pv_ops+8, %rax", "slot-load"),
        ("push pv_ops+8(%rip)", "slot-load"),
        ("mov %rax, pv_ops+8(%rip)", "slot-store"),
        ("movq $1, pv_ops+8(%rip)", "slot-store"),
        ("movq $pv_f_not, pv_ops+8(%rip)", "slot-store"),
        ("movb $1, pv_ops+8(%rip)", "slot-store"),
        ("movw $1, pv_ops+8(%rip)", "slot-store"),
        ("cmpq $1, pv_ops+8(%rip)", "slot-compare"),
        ("cmpq $0x12345, pv_ops+8(%rip)", "slot-compare"),
        ("cmp %rax, pv_ops+8(%rip)", "slot-compare"),
        ("cmpb $1, pv_ops(%rip)", "slot-compare"),
        ("cmpw $0x1234, pv_ops(%rip)", "slot-compare"),
        ("cmpq $0x12345, pv_ops(%rip)", "slot-compare"),
        ("movl $1, pv_ops(%rip)", "slot-store"),
        ("testb $1, pv_ops(%rip)", "slot-compare"),
        ("lea pv_ops+8(%rip), %rax", "slot-address"),
        ("mov $pv_ops, %rdi", "slot-address"),
        ("mov $pv_ops+8, %edi", "slot-address"),
        ("movabs $pv_ops, %rdi", "slot-address"),
        (".section .rodata\n.quad pv_ops+8", "slot-address"),
        (".section .rodata\n.long pv_ops+8", "slot-address"),
        ("call *pv_ops(,%rax,8)", "indexed"),
        ("jmp *pv_ops(%rbx)", "indexed"),
        ("mov pv_ops(,%rcx,8), %rax", "indexed"),
        ("call pv_f+2", "interior"),
        ("lea pv_f+1(%rip), %rax", "interior"),
        ("mov $pv_f+8, %rdi", "interior"),
        (".section .rodata\n.quad pv_f+3", "interior"),
        (".section .rodata\n.long pv_f - .", "relative-pointer"),
        (".section .rodata\n.long pv_ops+8 - .", "relative-pointer"),
        ("mov pv_ops@GOTPCREL(%rip), %rax", "slot-address"),
        ("cmp pv_f(%rip), %rax", "other"),
        ("mov pv_f(%rip), %rax", "other"),
    ],
)
def test_what_no_fixup_redirects_is_counted_by_its_kind(link: Link, code: str, kind: str) -> None:
    assert left(link(f".set pv_f_not, 5\n{KERNEL} {code}")) == {kind: 1}


@pytest.mark.parametrize("code", ["call *pv_f@GOTPCREL(%rip)", "mov pv_f@GOTPCREL(%rip), %rax"])
def test_a_reference_that_stays_in_the_got_is_counted_as_such(link: Link, code: str) -> None:
    assert left(link(KERNEL + code, flags=["--no-relax"])) == {"got": 1}


@pytest.mark.parametrize("size", [1, 4, 40])
def test_a_relative_pointer_in_a_table_among_code_is_counted(link: Link, size: int) -> None:
    source = f"""{KERNEL}
    .section .text.tiny, "ax"
    .globl pv_tiny
    .type pv_tiny, @function
pv_tiny:
    .skip {size}, 0x90
    .size pv_tiny, . - pv_tiny
    .text
    .type jumps, @object
jumps:
    .long pv_tiny - .
    .size jumps, . - jumps
    """
    assert left(link(source)) == {"relative-pointer": 1}


@pytest.mark.parametrize(
    ("code", "offset", "text", "symbol"),
    [
        ("mov pv_ops+8(%rip), %rax", 4, "slot-load of pv_ops", "48 8b 05"),
        ("cmpq $1, pv_ops+8(%rip)", 4, "slot-compare of pv_ops", "48 83 3d"),
        ("call pv_f+2", 2, "interior of pv_f", "e8"),
        ("mov pv_f(%rip), %rax", 4, "other of pv_f", "48 8b 05"),
    ],
)
def test_a_kind_neither_taken_nor_left_is_an_error_that_shows_it(
    link: Link, code: str, offset: int, text: str, symbol: str
) -> None:
    image = link(KERNEL + code)
    with pytest.raises(BuildplugError) as caught:
        extract(image, rule())
    message = str(caught.value)
    for part in (str(image.path), f".text+{offset:#x}", text, symbol, "leave"):
        assert part in message
    assert "\n" not in message


def test_a_kind_that_a_rule_neither_takes_nor_leaves_is_an_error(link: Link) -> None:
    image = link(KERNEL + "call pv_f\njmp pv_f")
    with pytest.raises(BuildplugError, match=r"\.text\+0x6: .* found jump of pv_f \(a site\), bytes .*add 'jump'"):
        extract(image, rule(kinds=("call",)))
    assert extract(image, rule(kinds=("call",), leave=("jump",))).ignored == {"jump": 1}
