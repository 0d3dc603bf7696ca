"""A kernel with as many functions and objects as a test wants, with rows for every rule of symbols and references, and
room for the tables of the rules."""

from collections.abc import Iterable
from pathlib import Path

from buildplug.config.rule import Rule
from tests.conftest import tool

HEAD = """
    .text
    .globl _start, __fentry__, __x86_indirect_thunk_rax, pv_default, native_default, __per_cpu_load
    __per_cpu_load = 0
    .type _start, @function
_start: ret
    .type __fentry__, @function
__fentry__: ret
    .type __x86_indirect_thunk_rax, @function
__x86_indirect_thunk_rax: ret
    .type pv_default, @function
pv_default: ret
    .type native_default, @function
native_default: ret
    .data
    .globl pv_ops
    .balign 8
    .type pv_ops, @object
pv_ops: .quad _start, pv_default
    .size pv_ops, . - pv_ops
    .section .rodata
    .globl bp_paravirt_native
    .balign 8
bp_paravirt_native: .long 0x45425042, 2
    .long native_default - ., 1
    .long native_default - ., 0xffffffff
    .section .bp_records.strings
.Lname: .asciz "namespace"
"""
FUNCTION = """
    .text
    .globl f{n}
    .type f{n}, @function
f{n}:
    call __fentry__
    call f{next}
    {other}
    ret
    .size f{n}, . - f{n}
    .data
    .globl o{n}
    .type o{n}, @object
o{n}: .quad f{n}
    .size o{n}, 8
"""
OTHERS = ("call pv_default", "nop", "call *pv_ops + 8(%rip)", "nop")
RARELY = 20  # one function in so many has the following
RARE = """
    .text
    .globl __SCT__f{n}
    .type __SCT__f{n}, @function
__SCT__f{n}: jmp f{n}
    .size __SCT__f{n}, . - __SCT__f{n}
    .type rare{n}, @function
rare{n}: call __SCT__f{n}
    call __x86_indirect_thunk_rax
    ret
    .size rare{n}, . - rare{n}
    .section .bp_records.exports
    .quad f{n}, .Lname
    .section .bp_records.extable
    .quad f{n} + 5, f{n} + 10
    .section __mcount_loc, "a"
    .quad f{n}
    .section __patchable_function_entries, "a"
    .quad f{n}
"""
# References whose bytes alone do not say what they are.
VAGUE = """
    .text
    .type vague{n}, @function
vague{n}: movq $f{n}, %rdi
    movl $f{n} + 1, %eax
    cs call __SCT__f0
    .byte 0x66
    call f{n}
    ret
    .size vague{n}, . - vague{n}
"""
TABLE = """
    .section {section}, "aw"
    .balign 4096
    .globl {symbol}, {symbol}_end
    .type {symbol}, @object
{symbol}: .skip {room}
{symbol}_end:
    .size {symbol}, . - {symbol}
"""
OPS = """
[ops.one]
function = "pv_default"
[ops.two]
slot = "pv_ops+8"
[backends.native]
one = { inline = "ret" }
two = { function = "native_default" }
"""


def linked(folder: Path, functions: int, rules: Iterable[Rule], vague: int) -> Path:
    """Links a kernel with so many functions, and as many objects; its tables are zeros. `vague`: how many functions
    have references whose bytes alone do not say what they are."""
    with (folder / "k.S").open("w") as out:
        out.write(HEAD)
        for n in range(functions):
            out.write(FUNCTION.format(n=n, next=(n + 7) % functions, other=OTHERS[n % len(OTHERS)]))
            out.write("" if n % RARELY else RARE.format(n=n))
        out.writelines(VAGUE.format(n=n) for n in range(vague))
        for rule in rules:
            out.write(TABLE.format(section=rule.section, symbol=rule.symbol, room=80 * functions + 8192))
            named = {name for row in rule.table.each for name in row.addresses.values()}
            out.writelines(f"\t.globl {name}\n\t{name} = _start\n" for name in sorted(named))
        out.write('\t.section .note.GNU-stack, "", @progbits\n')
    tool("as", "k.S", "-o", "k.o", cwd=folder)
    tool("ld", "--emit-relocs", "-Ttext-segment=0x1000000", "--no-warn-rwx-segments", "k.o", "-o", "k.elf", cwd=folder)
    return folder / "k.elf"
