"""Proofs of ops on riscv64: clobbers, what a call itself writes, and what no site may get."""

from pathlib import Path

import pytest

from tests.samples import buildplug, built, edit, one_line
from tests.small_kernels import RISCV64, built_or_refused

NOTHING = "nothing = { nothing = true }\nflush"
DISABLE = '[backends.native]\nirq_disable = { inline = "csrci sstatus, 2" }\n'
SAVES = """
	.globl other
	.type other, @function
other:
	addi sp, sp, -32
	sd ra, 24(sp)
	sd s0, 16(sp)
	sd s1, 8(sp)
	addi s0, sp, 32
	mv s1, a0
	%s
	ld s1, 8(sp)
	ld s0, 16(sp)
	ld ra, 24(sp)
	addi sp, sp, 32
	ret
	.size other, . - other

/* A call through the slot"""


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    return RISCV64.copy(tmp_path / "kernel")


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ('inline = "li a1, 0"', "'c.li a1, 0' writes a1; expected only memory, ra, t0, t1"),
        ('inline = "li t0, 0"', ""),
        ('inline = "csrr a0, sstatus"', "'csrr a0, sstatus' writes a0; expected only"),
        ('inline = "csrw sscratch, a0"', ""),
        ('inline = "csrrw a2, sscratch, t0"', "'csrrw a2, sscratch, t0' writes a2; expected only"),
        ('inline = "csrsi sstatus, 2; fence rw, rw; sfence.vma a0, a1"', ""),
        ('inline = "ecall"', "'ecall' writes a0, a1; expected only"),
        ('inline = "amoadd.d a3, t0, (a5)"', "'amoadd.d a3, t0, (a5)' writes a3; expected only"),
        ('inline = "sd a0, 8(a1)"', ""),
        ('inline = "slti zero, zero, 0"', ""),
        ('inline = "fadd.d fa0, fa1, fa2"', "'fadd.d fa0, fa1, fa2' writes fa0; expected only"),
        ('inline = "call pv_time"', "expected inline code without sites, found call of op time at +0x0"),
        ('inline = "j ."', "expected position-independent code, found 'c.j "),
        ('inline = "beqz a0, ."', "expected position-independent code, found 'c.beqz a0, "),
        ('inline = "ret"', "expected position-independent code, found 'c.jr ra'"),
        ('inline = ".option norvc; jr t0"', "expected position-independent code, found 'jr t0'"),
        ('inline = "auipc t0, 0"', "expected position-independent code, found 'auipc t0, 0'"),
        ('inline = "sret"', "expected position-independent code, found 'sret'"),
        ('inline = "sd t0, -8(sp)"', "'sd t0, -8(sp)' uses the stack pointer, which a call changes"),
    ],
)
def test_inline_code_and_functions_may_write_what_the_op_says(kernel: Path, way: str, message: str) -> None:
    edit(kernel / "paravirt.toml", (DISABLE, f"[backends.native]\nirq_disable = {{ {way} }}\n"))
    done = buildplug("build", kernel)
    if message:
        assert message in one_line(done.stderr)
        assert "backend native, op irq_disable" in done.stderr
    else:
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("call sbi_tick", "' writes a0; expected only"),
        ("call sbi_irq_enable", ""),
        (".option norvc; jal sbi_irq_enable", ""),
        ("sd s1, 0(t1)", ""),
        ("addi a5, sp, 8", "'c.addi4spn a5, sp, 8' writes a5; expected only"),
        ("mv s2, a0", "'c.mv s2, a0' writes s2; expected only"),
        ("mv tp, a0", "'c.mv tp, a0' writes tp; expected only"),
        ("mv t0, a4; mv a4, a5; mv a4, t0", ""),
        ("addi sp, sp, 16; addi sp, sp, -16", ""),
        ("addi sp, sp, -16", "with another return address"),
        ("jr t1", "'c.jr t1' has an unknown target"),
        ("tail sbi_irq_enable", "with an unbalanced stack"),
        ("jal t0, sbi_irq_enable", "it links by t0, not by ra"),
        ("la t1, sbi_irq_enable; jalr t0, t1", "it links by t0, not by ra"),
        ("addi sp, sp, -16; sd a4, 8(sp); li a4, 0; beqz a0, 1f; nop; 1: ld a4, 8(sp); addi sp, sp, 16", ""),
        ("addi sp, sp, -16; sd a4, 8(sp); li a4, 0; sw a0, 12(sp); ld a4, 8(sp); addi sp, sp, 16", "writes a4"),
        ("addi sp, sp, -16; sd a4, 8(sp); li a4, 0; amoadd.w t0, t1, (sp); ld a4, 8(sp); addi sp, sp, 16", ""),
        ("li a7, 1; ecall", "' writes a0, a1, a7; expected only"),
        ("1: bnez a0, 1b; unimp", ""),
    ],
)
def test_functions_are_followed(kernel: Path, code: str, message: str) -> None:
    edit(kernel / "paravirt.toml", (NOTHING, 'nothing = { function = "other" }\nflush'))
    edit(kernel / "boot.S", ("\n/* A call through the slot", SAVES % code))
    built_or_refused(kernel, message)


def test_an_op_says_that_a_call_writes_the_link_register(kernel: Path) -> None:
    edit(kernel / "paravirt.toml", ('[ops.nothing]\nfunction = "pv_nothing"\nclobbers = ["ra", "t0", "t1", "memory"]',
                                    '[ops.nothing]\nfunction = "pv_nothing"\nclobbers = ["memory"]'))  # fmt: skip
    message = one_line(buildplug("build", kernel).stderr)
    assert "op nothing: clobbers: expected ra, which a call may write, found no ra" in message


def test_wrapper_saves_what_the_op_keeps(kernel: Path) -> None:
    """Proved by the same check: the wrapper calls C."""
    edit(kernel / "paravirt.toml", (NOTHING, 'nothing = { function = "sbi_tick", preserve = true }\nflush'))
    built(kernel)
    assert "addi sp, sp, -16; sd a0, 0(sp)" in (kernel / "build/gen/bp_paravirt_backends.S").read_text()
