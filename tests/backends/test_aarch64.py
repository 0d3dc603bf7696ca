"""Proofs of ops on aarch64: clobbers, what a call itself writes, and what no site may get."""

from pathlib import Path

import pytest

from tests.samples import buildplug, built, edit, one_line
from tests.small_kernels import AARCH64, built_or_refused

NOTHING = "nothing = { nothing = true }\nflush"
DISABLE = '[backends.hvc]\nirq_disable = { inline = "msr daifset, #2" }\n'
SAVES = """
	.globl other
	.type other, @function
other:
	stp x29, x30, [sp, #-32]!
	str x19, [sp, #16]
	mov x29, sp
	mov x19, x0
	%s
	ldr x19, [sp, #16]
	ldp x29, x30, [sp], #32
	ret
	.size other, . - other

/* A call through the slot"""


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    return AARCH64.copy(tmp_path / "kernel")


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ('inline = "mov x1, #0"', "'mov x1, #0' writes x1; expected only memory, x16, x17, x30"),
        ('inline = "mov w16, #0"', ""),
        ('inline = "cmp x0, #0"', "'cmp x0, #0' writes flags; expected only"),
        ('inline = "msr nzcv, x0"', "'msr nzcv, x0' writes flags; expected only"),
        ('inline = "msr daifset, #2"', ""),
        ('inline = "hvc #0"', "'hvc #0' writes x0, x1, x10, "),
        ('inline = ".arch_extension lse; swp x3, x4, [x5]"', "'swp x3, x4, [x5]' writes x3, x4; expected only"),
        ('inline = "ldr x16, [x5], #8"', "'ldr x16, [x5], #8' writes x5; expected only"),
        ('inline = "bl pv_psci"', "expected inline code without sites, found bl of op psci at +0x0"),
        ('inline = "b ."', "expected position-independent code, found 'b "),
        ('inline = "adr x16, ."', "expected position-independent code, found 'adr x16, "),
        ('inline = "ldr x16, start"', "expected position-independent code, found 'ldr x16, "),
        ('inline = "eret"', "expected position-independent code, found 'eret'"),
        ('inline = "str x16, [sp, #-16]!"', "'str x16, [sp, #-0x10]!' writes sp; expected only"),
    ],
)
def test_inline_code_and_functions_may_write_what_the_op_says(kernel: Path, way: str, message: str) -> None:
    edit(kernel / "paravirt.toml", (DISABLE, f"[backends.hvc]\nirq_disable = {{ {way} }}\n"))
    done = buildplug("build", kernel)
    if message:
        assert message in one_line(done.stderr)
        assert "backend hvc, op irq_disable" in done.stderr
    else:
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("bl smc_tick", "' writes x0; expected only"),
        ("bl smc_irq_enable", ""),
        ("str x19, [x16]", ""),
        ("add x9, sp, #8", "'add x9, sp, #8' writes x9; expected only"),
        ("mov x20, x0", "'mov x20, x0' writes x20; expected only"),
        ("mrs x17, nzcv; cmp x0, #1; msr nzcv, x17", ""),
        ("mrs x17, nzcv; cmp x0, #1; msr nzcv, x16", "'msr nzcv, x16' writes flags"),
        ("add sp, sp, #16; sub sp, sp, #16", ""),
        ("sub sp, sp, #16", "with another return address"),
        ("br x16", "'br x16' has an unknown target"),
        ("stp x9, x10, [sp, #-16]!; mov x9, #0; cbz x0, 1f; mov x10, #0; 1: ldp x9, x10, [sp], #16", ""),
        ("stp x9, x10, [sp, #-16]!; mov x9, #0; str w0, [sp, #8]; ldp x9, x10, [sp], #16", "writes x10"),
    ],
)
def test_functions_are_followed(kernel: Path, code: str, message: str) -> None:
    edit(kernel / "paravirt.toml", (NOTHING, 'nothing = { function = "other" }\nflush'))
    edit(kernel / "boot.S", ("\n/* A call through the slot", SAVES % code))
    built_or_refused(kernel, message)


def test_an_op_says_that_a_call_writes_the_link_register(kernel: Path) -> None:
    edit(kernel / "paravirt.toml", ('[ops.nothing]\nfunction = "pv_nothing"\nclobbers = ["x16", "x17", "lr", "memory"]',
                                    '[ops.nothing]\nfunction = "pv_nothing"\nclobbers = ["memory"]'))  # fmt: skip
    message = one_line(buildplug("build", kernel).stderr)
    assert "op nothing: clobbers: expected x16, x17, x30, which a call may write, found no x16, x17, x30" in message


def test_wrapper_saves_what_the_op_keeps(kernel: Path) -> None:
    """Proved by the same check: the wrapper calls C."""
    edit(kernel / "paravirt.toml", (NOTHING, 'nothing = { function = "smc_tick", preserve = true }\nflush'))
    built(kernel)
    assert "str x0, [sp, #-16]!" in (kernel / "build/gen/bp_paravirt_backends.S").read_text()
