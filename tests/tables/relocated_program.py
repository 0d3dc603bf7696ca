"""A program with fields of every encoding, to be linked and relocated."""

from tests.conftest import HIGH

PROGRAM = """
    .text
    .globl start, far
start:
    mov $start, %rax            # abs32s
    mov $far + 5, %rbx
    movl $low, %ecx             # absolute: stays
    movabs $object, %rdx        # abs64
    lea object(%rip), %rsi      # relative to what moves, too
    lea absolute(%rip), %rdi    # rel32 of what does not
    call *table(,%rax,8)
    .weak nowhere
    movq $nowhere, %rax         # undefined: stays 0
    mov inside, %eax
    .skip 200
far:
    ret
    .section .rodata
    .balign 8
table: .quad start, far, low, nowhere, object + 0x1000
    .quad object - .            # rel64
    .byte 1
    .quad far                   # not aligned
    .long start + {physical:#x}   # abs32
    .data
object:
inside: .quad object
    .balign 8
    .globl bp_relocs
bp_relocs: .skip 512
    .globl low, absolute
    low = 0x1234
    absolute = {absolute:#x}
"""


def program(base: int) -> str:
    """The program to be linked at `base`, which absolute addresses of 32 bits must reach."""
    return PROGRAM.format(absolute=base - 0x10000, physical=0x80000000 if base == HIGH else 0)
