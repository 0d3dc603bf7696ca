"""Cache lines: generated code of a group shares one, and what does not is refused."""

import pytest

from buildplug.backends import cache_lines
from buildplug.base.errors import BuildplugError
from tests.conftest import Drafted

KERNEL = """
    .text
    .globl pv_a, pv_b, pv_c, fa, fb
    .irp name, pv_a, pv_b, pv_c
    .type \\name, @function
\\name: ret
    .size \\name, . - \\name
    .endr
    .balign 64
    .type fa, @function
fa: .skip {size}
    ret
    .size fa, . - fa
    .type fb, @function
fb: ret
    .size fb, . - fb
    .section .text.site, "ax"
    call pv_a; call pv_b; call pv_c
"""
OPS = """
    ops = { a = { function = "pv_a" }, b = { function = "pv_b" }, c = { function = "pv_c" } }
    groups = { both = { ops = ["a", "c"] } }
"""
INLINE = """
    [backends.x]
    a = { inline = "cli" }
    b = { inline = ".skip 62, 0x90" }
    c = { inline = "sti" }
"""
FUNCTIONS = """
    [backends.x]
    a = { function = "fa" }
    c = { function = "fb" }
"""


def test_generated_code_of_a_group_shares_a_line(drafted: Drafted) -> None:
    made = drafted(KERNEL.format(size=0), OPS + INLINE)
    cache_lines.check(made.image, made.rule, made.ops)
    about = cache_lines.about(made.image, made.rule, made.ops)["x"]
    assert about["a"]["line"] == about["c"]["line"] != about["b"]["line"]
    assert about["a"]["address"] % 64 == 0
    assert [about[op]["bytes"] for op in "abc"] == [2, 63, 2]


def test_a_group_that_is_larger_than_a_line_is_refused(drafted: Drafted) -> None:
    made = drafted(KERNEL.format(size=0), (OPS + INLINE).replace('"c"]', '"b"]'))
    with pytest.raises(BuildplugError, match=r"group both, backend x: expected one cache line of 64 bytes, found a 2 "):
        cache_lines.check(made.image, made.rule, made.ops)


def test_functions_of_a_group_may_share_a_line(drafted: Drafted) -> None:
    made = drafted(KERNEL.format(size=60), OPS + FUNCTIONS)
    cache_lines.check(made.image, made.rule, made.ops)


def test_functions_apart_are_refused(drafted: Drafted) -> None:
    made = drafted(KERNEL.format(size=64), OPS + FUNCTIONS)
    with pytest.raises(BuildplugError, match="put their functions together"):
        cache_lines.check(made.image, made.rule, made.ops)


def test_a_group_may_be_of_some_backends_only(drafted: Drafted) -> None:
    ops = OPS.replace('"c"] }', '"c"], backends = ["y"] }') + FUNCTIONS + INLINE.replace("backends.x", "backends.y")
    made = drafted(KERNEL.format(size=64), ops)
    cache_lines.check(made.image, made.rule, made.ops)


def test_what_a_call_that_saves_costs_is_told(drafted: Drafted) -> None:
    ops = """
        ops = { a = { function = "pv_a", clobbers = ["rax", "rcx"] } }
        backends = { x = { a = { function = "fa", preserve = true } } }
    """
    made = drafted(KERNEL.format(size=0).replace("call pv_b; call pv_c", ""), ops)
    assert (
        cache_lines.about(made.image, made.rule, made.ops)["x"]["a"]["saves"] == 8
    )  # rdx rsi rdi r8-r11 and the flags
