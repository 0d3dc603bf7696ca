"""riscv64: relocations, fields, forms of sites, instructions, registers; and riscv32, for tables of symbols.

Sources: The RISC-V Instruction Set Manual, vol. I, 2.3, 2.5, 8 ("A") and 16 ("C"); RISC-V ELF psABI, "Relocations",
"Register Convention"; RISC-V SBI Specification, "Binary Encoding".
"""

from dataclasses import replace

from buildplug.arch.field import ABS32, ABS64, PAGE, REL32, Base, Field, Part, Slice, whole
from buildplug.arch.form import ADDRESS, CALL, COND_JUMP, JUMP, POINTER, SLOT_CALL, Form, Kind
from buildplug.arch.model import Arch, Assembly, Mnemonics

NOP, C_NOP = bytes.fromhex("13000000"), bytes.fromhex("0100")
NOP_ROOM = bytes.fromhex("1320b005")  # slti x0, x0, 0x5b: no assembler emits it on its own
ROUND = 0x800  # rounds the high part up where the low part, which is signed, is negative


def _bits(*slices: tuple[int, int, int], signed: bool = True, bias: int = 0) -> Part:
    return Part(tuple(Slice(*one) for one in slices), signed, bias)


_HIGH = _bits((12, 20, 12), bias=ROUND)
J = Field("j", 4, (_bits((12, 8, 12), (11, 1, 20), (1, 10, 21), (20, 1, 31)),), Base.PC)
B = Field("b", 4, (_bits((11, 1, 7), (1, 4, 8), (5, 6, 25), (12, 1, 31)),), Base.PC)
CJ = Field(
    "cj", 2,
    (_bits((5, 1, 2), (1, 3, 3), (7, 1, 6), (6, 1, 7), (10, 1, 8), (8, 2, 9), (4, 1, 11), (11, 1, 12)),), Base.PC,
)  # fmt: skip
CB = Field("cb", 2, (_bits((5, 1, 2), (1, 2, 3), (6, 2, 5), (3, 2, 10), (8, 1, 12)),), Base.PC)
PCREL_HI = Field("pcrel hi20", 4, (_HIGH,), Base.PC, step=PAGE)
HI = Field("hi20", 4, (_HIGH,), step=PAGE)
LO_I = Field("lo12 i", 4, (_bits((0, 12, 20), signed=False),), modulus=PAGE)
LO_S = Field("lo12 s", 4, (_bits((0, 5, 7), (5, 7, 25), signed=False),), modulus=PAGE)
PCREL_I = Field("auipc i", 8, (_HIGH, _bits((0, 12, 52))), Base.PC)
PCREL_S = Field("auipc s", 8, (_HIGH, _bits((0, 5, 39), (5, 7, 57))), Base.PC)
ABS_I = Field("lui i", 8, (_HIGH, _bits((0, 12, 52))))
FIELDS = (J, B, CJ, CB, PCREL_HI, HI, LO_I, LO_S, PCREL_I, PCREL_S, ABS_I)

# The first of two relocations, whose symbols' distance is the word; the second, a SUB, is ignored.
ADD32, ADD64 = (whole(f"add{bits}", bits // 8, Base.PC, signed=True) for bits in (32, 64))
RELOCATIONS = {
    1: ABS32, 2: ABS64, 16: B, 17: J, 18: PCREL_I, 19: PCREL_I, 20: PCREL_HI, 23: PCREL_HI, 26: HI, 27: LO_I, 28: LO_S,
    35: ADD32, 36: ADD64, 44: CB, 45: CJ, 47: LO_I, 48: LO_S, 57: REL32, 59: REL32,
}  # fmt: skip


def _form(
    name: str, kind: Kind, field: Field, words: str, masks: str, padding: int = 0, first: Field | None = None,
    equal: tuple[int, int, int] | None = None,
) -> Form:  # fmt: skip
    """A form from the instructions `words` and their `masks`, in hexadecimal (4 digits: compressed), and `padding`
    4-byte nops."""
    pairs = [(int(w, 16), int(m, 16), len(w) // 2) for w, m in zip(words.split(), masks.split(), strict=True)]
    code, mask = (b"".join(pair[i].to_bytes(pair[2], "little") for pair in pairs) for i in (0, 1))
    code, mask = code + NOP_ROOM * padding, mask + b"\xff" * 4 * padding
    return Form(name, kind, field, 0, 0, code, mask, 4 * padding, first, equal=equal)


def _itself(form: Form) -> Form:
    """A direct call or jump, which stays one of its length."""
    return replace(form, direct=form.name)


def _by_t0(name: str, field: Field, words: str, masks: str, first: Field | None = None) -> Form:
    form = _form(name, CALL, field, words, masks, first=first)
    return replace(form, direct=name, unchanged="links by t0, where the functions of backends return by ra")


RD_RS1 = (7, 32 + 15, 5)  # what the first instruction writes, the second reads
_PAIR = "00000fff 000fffff"
FORMS = (
    _form("slot call", SLOT_CALL, PCREL_I, "00000097 0000b083 000080e7", "00000fff 000fffff ffffffff", first=PCREL_HI),
    *(_form(f"call in {8 + 4 * n}", CALL, PCREL_I, "00000097 000080e7", _PAIR, n, first=PCREL_HI) for n in (2, 1)),
    _form("call", CALL, PCREL_I, "00000097 000080e7", _PAIR, first=PCREL_HI),
    _by_t0("call t0", PCREL_I, "00000297 000282e7", _PAIR, PCREL_HI),
    _by_t0("call t0 by t1", PCREL_I, "00000317 000302e7", _PAIR, PCREL_HI),
    _itself(_form("tail t1", JUMP, PCREL_I, "00000317 00030067", _PAIR, first=PCREL_HI)),
    _itself(_form("tail t2", JUMP, PCREL_I, "00000397 00038067", _PAIR, first=PCREL_HI)),
    _itself(_form("jal", CALL, J, "000000ef", "00000fff")),
    _by_t0("jal t0", J, "000002ef", "00000fff"),
    _itself(_form("j", JUMP, J, "0000006f", "00000fff")),
    _form("branch", COND_JUMP, B, "00000063", "0000007f"),
    _form("auipc addi", ADDRESS, PCREL_I, "00000017 00000013", "0000007f 0000707f", 0, PCREL_HI, RD_RS1),
    _form("lui addi", ADDRESS, ABS_I, "00000037 00000013", "0000007f 0000707f", 0, HI, RD_RS1),
    replace(_itself(_form("c.j", JUMP, CJ, "a001", "e003")), ret=bytes.fromhex("8280")),
    _form("c.beqz", COND_JUMP, CB, "c001", "c003"),
    _form("pointer", POINTER, ABS64, "00000000 00000000", "00000000 00000000"),
)

# Those of thread-local variables; the low parts of pairs whose high part, at the label that they name, says the target;
# the second ones of pairs of words; marks for the linker.
IGNORED = frozenset({0, 21, 22, 24, 25, *range(29, 33), 33, 34, *range(37, 41), 43, 46, 49, 50, *range(51, 57), 60, 61})

# Of a slot: auipc, lui, addi; ld and sd by the low part of lui's address or from gp.
USES = (
    (0x00000017, 0x0000007F, "slot-address"),
    (0x00000037, 0x0000007F, "slot-address"),
    (0x00000013, 0x0000707F, "slot-address"),
    (0x00003003, 0x0000707F, "slot-load"),
    (0x00003023, 0x0000707F, "slot-store"),
)

_TEMPORARY = (*(f"t{n}" for n in range(7)), *(f"a{n}" for n in range(8)))
_SAVED = tuple(f"s{n}" for n in range(12))
_NAMES = ("ra", "sp", "gp", "tp", *_TEMPORARY[:3], *_SAVED[:2], *_TEMPORARY[7:], *_SAVED[2:], *_TEMPORARY[3:7])  # x1 on
_KEPT = ".option push; .option norelax; .option norvc", ".option pop"
_ORDERS = ("", ".aq", ".rl", ".aqrl")
_ATOMIC = ("sc", *(f"amo{name}" for name in ("swap", "add", "xor", "and", "or", "min", "max", "minu", "maxu")))
_STORES = frozenset({
    "sb", "sh", "sw", "sd", "fsw", "fsd", "c.sw", "c.sd", "c.swsp", "c.sdsp", "c.fsw", "c.fsd", "c.fswsp", "c.fsdsp",
})  # fmt: skip
# capstone has neither registers nor access of operands for RISC-V, gives the distance of branches, and takes ret, j and
# jr for calls.
_MNEMONICS = Mnemonics(
    copy=frozenset({"mv", "c.mv"}),
    add=dict.fromkeys(("addi", "c.addi", "c.addi16sp", "c.addi4spn"), 1),
    load=frozenset({"ld", "c.ld", "c.ldsp"}),
    store=frozenset({"sd", "c.sd", "c.sdsp"}),
    literal=frozenset({"auipc"}),
    writes_memory=_STORES | {f"{name}.{size}{order}" for name in _ATOMIC for size in "wd" for order in _ORDERS},
    reads=_STORES | {"csrw", "csrs", "csrc", "sfence.vma", "fence"},
    page=frozenset({"auipc"}),
    links={"jal": "ra", "jalr": "ra", "c.jalr": "ra"} | dict.fromkeys(("j", "c.j", "jr", "c.jr"), "zero"),
    indirect=frozenset({"jalr", "c.jalr", "jr", "c.jr"}),
    returns=frozenset({"ret", "c.jr ra"}),
    away=frozenset({"sret", "mret", "uret"}),
    writes={"ecall": frozenset({"a0", "a1", "memory"})},  # of SBI
    stop=frozenset({"ebreak", "c.ebreak", "unimp", "c.unimp"}),
)

# RISC-V ELF psABI, "Mapping Symbol", "Frame Pointer Convention". Where the linker may relax code, the assembler keeps
# local labels, of which some have no name.
RISCV64 = Arch(
    "riscv64", 243, 64, "<", kallsyms="unsigned", marks=("$x\0", "$x.", "$xrv", "$d\0", "$d.", ".L", "\0"), relative=3,
    frame_record=(-2, -1), target="riscv64-linux-gnu", hosts=("riscv64",),
    relocations=RELOCATIONS,
    relaxed=frozenset({20}),  # through the GOT
    ignored=IGNORED,
    unproved=frozenset({35, 36}),
    global_pointer=(frozenset({47, 48}), "__global_pointer$"),
    reach="compile with -mno-relax, as calls and jumps that the linker relaxed reach less",
    mended="compile with -mno-relax, as not every linker's relocations are true after relaxation",
    unloaded="link with --no-relax, as lld that relaxes keeps no relocations of sections that are not loaded",
    paired=True,
    forms=FORMS,
    instruction=2,
    uses=USES,
    nops=(b"", b"\0", C_NOP, C_NOP + b"\0", NOP),  # those of odd length only end inline code that is no instructions
    call="call",
    jump="tail t1",
    ret=bytes.fromhex("67800000"),
    code_cache="fence",
    others="a FENCE.I of its own, as by a remote fence of SBI,",
    capstone=(15, 6),  # CS_ARCH_RISCV, CS_MODE_RISCV64 | CS_MODE_RISCVC
    general=(*_TEMPORARY, *_SAVED[1:]),
    caller_saved=frozenset({"ra", *_TEMPORARY, "memory"}),
    called=frozenset({"ra"}),
    link="ra",
    stack="sp",
    frame="s0",
    zero="zero",
    mnemonics=_MNEMONICS,
    assembly=Assembly(
        f"{_KEPT[0]}; ret; {_KEPT[1]}", "call", ("addi sp, sp, -16; sd {}, 0(sp)", "ld {}, 0(sp); addi sp, sp, 16"),
        slot_call=(
            _KEPT[0], "9876: auipc ra, %pcrel_hi({})", "ld ra, %pcrel_lo(9876b)(ra)", "jalr ra", _KEPT[1],
        ),
        jump="tail",
        room="slti zero, zero, 0x5b",
        pause=".4byte 0x100000f",  # "Zihintpause", which not all assemblers know; elsewhere a fence of nothing
        publish="fence w, ow",
        kept=_KEPT,
    ),
    line=64,
    aliases={**dict(zip(_NAMES, _NAMES, strict=True)), **{f"x{n}": name for n, name in enumerate(_NAMES, 1)},
             "fp": "s0"},
)  # fmt: skip
RISCV32 = Arch(
    "riscv32", 243, 32, "<", RISCV64.marks, relative=3, frame_record=(-2, -1), target="riscv32-linux-gnu",
    hosts=("riscv32",),
)  # fmt: skip
