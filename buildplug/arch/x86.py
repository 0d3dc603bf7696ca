"""x86_64 and i386."""

from dataclasses import replace

from buildplug.arch.field import ABS32, ABS32S, ABS64, REL32, REL64, Field
from buildplug.arch.form import ADDRESS, CALL, COND_JUMP, JUMP, POINTER, SLOT_CALL, SLOT_JUMP, Form, Kind
from buildplug.arch.model import Arch, Assembly, Mnemonics


def _x86_registers(wide: str) -> dict[str, str]:
    """The name of a part of a register -> the full register, whose name starts with `wide`: r for 64 bits, e for 32
    (Intel SDM vol. 1, 3.4.1)."""
    names: dict[str, str] = {}
    for letter in "abcd":
        names |= dict.fromkeys((f"e{letter}x", f"{letter}x", f"{letter}l", f"{letter}h"), f"{wide}{letter}x")
    for word in ("si", "di", "bp", "sp"):
        names |= dict.fromkeys((f"e{word}", word, f"{word}l"), f"{wide}{word}")
    return names | {"eip": f"{wide}ip", "ip": f"{wide}ip", "eflags": "flags", "rflags": "flags"}


# Intel SDM vol. 2B, NOP: recommended multi-byte sequences; from 10 bytes on with more prefixes, as GNU as emits them.
_X86_NOPS = (
    "", "90", "6690", "0f1f00", "0f1f4000", "0f1f440000", "660f1f440000", "0f1f8000000000",
    "0f1f840000000000", "660f1f840000000000", *("66" * n + "2e0f1f840000000000" for n in range(1, 7)),
)  # fmt: skip


def _form(name: str, kind: Kind, field: Field, code: str = "", mask: str = "", padding: bytes = b"") -> Form:
    """A form whose field of whole bytes follows the opcode and ends the instruction."""
    opcode, length = bytes.fromhex(code), len(code) // 2
    fixed = (bytes.fromhex(mask) if mask else b"\xff" * length) + bytes(field.size) + b"\xff" * len(padding)
    code_ = opcode + bytes(field.size) + padding
    return Form(name, kind, field, length, length + field.size, code_, fixed, len(padding))


def _padded(*lengths: int) -> tuple[Form, ...]:
    """Forms of calls that a macro pads with nops, as room for longer inline code: sites of these lengths, bytes. No
    assembler emits nops with such prefixes on its own. An instruction has 15 bytes at most."""
    nops = [b"\x3e" * (size - 2) + b"\x66\x90" for size in range(2, 16)]
    tails = {length: nops[-1] * ((length - 7) // 15) + nops[(length - 7) % 15] for length in lengths}
    return tuple(_form(f"call in {n}", CALL, REL32, "e8", padding=tail) for n, tail in tails.items())


_MNEMONICS = Mnemonics(
    push=frozenset({"push", "pushf", "pushfq", "pushfd"}),
    pop=frozenset({"pop", "popf", "popfq", "popfd"}),
    copy=frozenset({"mov"}),
    add={"add": 1, "sub": -1},
    address=frozenset({"lea"}),
    compare=frozenset({"cmp", "test"}),
    leave="leave",
    jump=frozenset({"jmp"}),
    stop=frozenset({"ud2"}),
)

# A `syscall` of a kernel is a hypercall of Xen (xen/include/public/arch-x86/xen-x86_64.h), which may destroy its
# arguments, too; the processor writes rcx and r11.
_HYPERCALL = frozenset({"rax", "rcx", "r11", "rdi", "rsi", "rdx", "r10", "r8", "r9", "flags", "memory"})


def _answered(register: str) -> dict[str, frozenset[str]]:
    """What all hypervisors' calls by a virtual machine write: the register with the answer, and memory."""
    return dict.fromkeys(("vmcall", "vmmcall"), frozenset({register, "memory"}))


X86_64 = Arch(
    name="x86_64",
    machine=62,
    bits=64,
    byteorder="<",
    target="x86_64-linux-gnu",
    hosts=("x86_64",),
    # System V ABI, AMD64 supplement, 4.4.1
    relocations={1: ABS64, 2: REL32, 4: REL32, 9: REL32, 10: ABS32, 11: ABS32S, 24: REL64, 41: REL32, 42: REL32},
    relaxed=frozenset({9, 41, 42}),  # GOTPCREL, GOTPCRELX, REX_GOTPCRELX
    thread=frozenset({19, 20, 22, 34}),  # TLSGD, TLSLD, GOTTPOFF, GOTPC32_TLSDESC
    kallsyms="absolute-percpu",
    relative=8,
    ignored=frozenset({0, 16, 17, 18, 19, 20, 21, 22, 23, 32, 33, 34, 35, 36}),
    forms=(
        _form("call *abs32s", SLOT_CALL, ABS32S, "ff1425"),
        _form("jmp *abs32s", SLOT_JUMP, ABS32S, "ff2425"),
        _form("lea rip, r64", ADDRESS, REL32, "488d05", "fbffc7"),
        _form("mov imm32s, r64", ADDRESS, ABS32S, "48c7c0", "fefff8"),
        _form("cs jcc", COND_JUMP, REL32, "2e0f80", "fffff0"),
        _form("call *rip", SLOT_CALL, REL32, "ff15"),
        _form("jmp *rip", SLOT_JUMP, REL32, "ff25"),
        _form("jcc", COND_JUMP, REL32, "0f80", "fff0"),
        _form("addr32 call", CALL, REL32, "67e8"),
        _form("cs call", CALL, REL32, "2ee8"),
        _form("cs jmp", JUMP, REL32, "2ee9"),
        _form("movabs imm64, r64", ADDRESS, ABS64, "48b8", "fef8"),
        _form("mov imm32, r8d-r15d", ADDRESS, ABS32, "41b8", "fff8"),
        *_padded(8, 9, 10, 12, 16, 17, 27, 34),
        _form("call", CALL, REL32, "e8"),
        _form("jmp", JUMP, REL32, "e9"),
        _form("mov imm32, r32", ADDRESS, ABS32, "b8", "f8"),
        _form("imm32s", ADDRESS, ABS32S),
        _form("imm32", ADDRESS, ABS32),
        _form("pointer", POINTER, ABS64),
        _form("pointer32", POINTER, ABS32),
    ),
    trailing=(4, 5, 6, 8),
    prefixes=frozenset({0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3, *range(0x40, 0x50)}),
    nops=tuple(bytes.fromhex(nop) for nop in _X86_NOPS),
    call="call",
    jump="jmp",
    ret=b"\xc3",
    capstone=(3, 1 << 3),  # CS_ARCH_X86, CS_MODE_64
    lengths=True,
    general=("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"),
    caller_saved=frozenset({"rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "flags", "memory"}),
    reserved="rbx",
    stack="rsp",
    pc=frozenset({"rip", "eip"}),
    control=("cr", "dr"),
    frame="rbp",
    frame_record=(0, 1),
    mnemonics=replace(_MNEMONICS, writes={"syscall": _HYPERCALL} | _answered("rax")),
    assembly=Assembly("ret", "call", ("push %{}", "pop %{}"), ("pushf", "popf"), pause="pause"),
    line=64,
    aliases=_x86_registers("r") | {f"r{number}{part}": f"r{number}" for number in range(8, 16) for part in "dwb"},
)


_I386_NOPS = (  # as X86_64's, of instructions of the first 386: lea and mov of %esi to itself
    "", "90", "89f6", "8d7600", "8d742600", "3e8d742600", "8db600000000", "8db42600000000",
)  # fmt: skip


I386 = replace(
    X86_64,
    name="i386",
    target="i686-linux-gnu",
    hosts=("x86_64", "i386", "i486", "i586", "i686"),
    compiler=("-m32",),
    machine=3,
    bits=32,
    # System V ABI, Intel386 supplement, 4.4
    relocations={1: ABS32, 2: REL32, 3: ABS32, 4: REL32, 43: ABS32},
    relaxed=frozenset({3, 43}),  # GOT32, GOT32X
    thread=frozenset({15, 16, 18, 19, 39}),  # TLS_IE, TLS_GOTIE, TLS_GD, TLS_LDM, TLS_GOTDESC
    relative=8,
    ignored=frozenset({0, *range(14, 20), *range(24, 42)}),
    forms=(
        _form("call *abs32", SLOT_CALL, ABS32, "ff15"),
        _form("jmp *abs32", SLOT_JUMP, ABS32, "ff25"),
        _form("lea abs32, r32", ADDRESS, ABS32, "8d05", "ffc7"),
        _form("jcc", COND_JUMP, REL32, "0f80", "fff0"),
        _form("addr16 call", CALL, REL32, "67e8"),
        *_padded(8, 10, 12, 16),
        _form("call", CALL, REL32, "e8"),
        _form("jmp", JUMP, REL32, "e9"),
        _form("mov imm32, r32", ADDRESS, ABS32, "b8", "f8"),
        _form("imm32", ADDRESS, ABS32),
        _form("pointer", POINTER, ABS32),
    ),
    trailing=(4,),
    prefixes=frozenset({0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3}),
    nops=tuple(bytes.fromhex(nop) for nop in _I386_NOPS),
    capstone=(3, 1 << 2),  # CS_ARCH_X86, CS_MODE_32
    lengths=False,
    general=("eax", "ebx", "ecx", "edx", "esi", "edi"),
    caller_saved=frozenset({"eax", "ecx", "edx", "flags", "memory"}),
    reserved="esi",
    stack="esp",
    pc=frozenset({"eip"}),
    frame="ebp",
    mnemonics=replace(_MNEMONICS, writes=_answered("eax")),
    aliases=_x86_registers("e"),
)
