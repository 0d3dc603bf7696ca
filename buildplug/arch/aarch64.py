"""aarch64: relocations, fields, forms of sites, instructions, registers.

Sources: Arm Architecture Reference Manual, DDI 0487, C6.2; ELF for the Arm 64-bit Architecture, "Relocation" and
"Mapping symbols"; Procedure Call Standard for the Arm 64-bit Architecture, "Machine Registers", "The Frame Pointer".
"""

from dataclasses import replace

from buildplug.arch.field import ABS32, ABS64, NOTHING, PAGE, REL32, REL64, Base, Field, Part, Slice
from buildplug.arch.form import ADDRESS, CALL, COND_JUMP, JUMP, POINTER, SLOT_CALL, SLOT_JUMP, Form, Kind
from buildplug.arch.model import Arch, Assembly, Mnemonics

_ADR = (Slice(0, 2, 29), Slice(2, 19, 5))
_ADRP = (Slice(12, 2, 29), Slice(14, 19, 5))
NOP = bytes.fromhex("1f2003d5")
NOP_ROOM = bytes.fromhex("ff2f03d5")  # hint #127: no assembler emits it on its own


def _jump(name: str, width: int, at: int) -> Field:
    """The field of a branch: a distance in 4-byte instructions."""
    return Field(name, 4, (Part((Slice(2, width, at),), signed=True),), Base.PC)


def _low(name: str, scale: int) -> Field:
    """The low 12 bits of an address, in units of 1 << scale bytes."""
    return Field(name, 4, (Part((Slice(scale, 12 - scale, 10),)),), modulus=PAGE)


IMM26 = _jump("imm26", 26, 0)
IMM19 = _jump("imm19", 19, 5)
IMM14 = _jump("imm14", 14, 5)
ADR = Field("adr", 4, (Part(_ADR, signed=True),), Base.PC)
ADRP = Field("adrp", 4, (Part(_ADRP, signed=True),), Base.PAGE, step=PAGE)
ADD_LO12 = _low("lo12", 0)
LDST16_LO12, LDST32_LO12, LDST64_LO12, LDST128_LO12 = (_low(f"ldst{8 << n} lo12", n) for n in (1, 2, 3, 4))
ADRP_ADD = Field("adrp add", 8, (Part(_ADRP, signed=True), Part((Slice(0, 12, 42),))), Base.PAGE)
ADRP_LDR64 = Field("adrp ldr64", 8, (Part(_ADRP, signed=True), Part((Slice(3, 9, 42),))), Base.PAGE)
FIELDS = (
    IMM26, IMM19, IMM14, ADR, ADRP, ADD_LO12, LDST16_LO12, LDST32_LO12, LDST64_LO12, LDST128_LO12, ADRP_ADD, ADRP_LDR64,
)  # fmt: skip

RELOCATIONS = {
    257: ABS64, 258: ABS32, 260: REL64, 261: REL32, 273: IMM19, 274: ADR, 275: ADRP, 276: ADRP, 277: ADD_LO12,
    278: ADD_LO12, 279: IMM14, 280: IMM19, 282: IMM26, 283: IMM26, 284: LDST16_LO12, 285: LDST32_LO12, 286: LDST64_LO12,
    299: LDST128_LO12, 314: REL32,
}  # fmt: skip
GOT = {311: ADRP, 312: LDST64_LO12}
TLS = {  # through the GOT, or what the linker made of that
    513: ADRP, 514: ADD_LO12, 518: ADRP, 519: ADD_LO12, 541: ADRP, 542: LDST64_LO12, 562: ADRP, 563: LDST64_LO12,
    564: ADD_LO12,
}  # fmt: skip


def _form(
    name: str, kind: Kind, field: Field, words: str, masks: str, padding: int = 0, first: Field | None = None
) -> Form:
    """A form from the 4-byte instructions `words` and their `masks`, in hexadecimal, and `padding` nops."""
    code, mask = (b"".join(int(w, 16).to_bytes(4, "little") for w in text.split()) for text in (words, masks))
    code, mask = code + NOP_ROOM * padding, mask + b"\xff" * 4 * padding
    return Form(name, kind, field, 0, 0, code, mask, 4 * padding, first)


def _slot(name: str, kind: Kind, last: str) -> Form:
    """A call or jump through a slot by x16, as only assembly has it."""
    masks = "9f00001f fff803ff ffffffff"
    return _form(name, kind, ADRP_LDR64, f"90000010 f9400210 {last}", masks, first=ADRP)


_B = _form("b", JUMP, IMM26, "14000000", "fc000000")
_ADR_FORM = _form("adr", ADDRESS, ADR, "10000000", "9f000000")
_ADRP_FORM = _form("adrp", ADDRESS, ADRP, "90000000", "9f000000")
_ADD_FORM = _form("add lo12", ADDRESS, ADD_LO12, "91000000", "ffc00000")
FORMS = (
    _slot("slot call", SLOT_CALL, "d63f0200"),
    _slot("slot jump", SLOT_JUMP, "d61f0200"),
    *(_form(f"bl in {4 + 4 * n}", CALL, IMM26, "94000000", "fc000000", n) for n in (3, 2, 1)),
    _form("bl", CALL, IMM26, "94000000", "fc000000"),
    _B,
    _form("b.cond", COND_JUMP, IMM19, "54000000", "ff000010"),
    _form("cbz", COND_JUMP, IMM19, "34000000", "7e000000"),
    _form("tbz", COND_JUMP, IMM14, "36000000", "7e000000"),
    _ADR_FORM,
    _ADRP_FORM,
    _ADD_FORM,
    _form("pointer", POINTER, ABS64, "0 0", "0 0"),
)

# What lld makes of adrp and add within 1 MiB: nop and adr; and what linkers make of adrp, ldr and str for
# --fix-cortex-a53-843419: adr, and a branch to a copy of the instruction.
_NOP_FORM = _form("nop", ADDRESS, NOTHING, "d503201f", "ffffffff")
_AWAY = replace(_B, name="b to a copy", field=NOTHING)
_STORES = dict.fromkeys((278, 284, 285, 286, 299), (_AWAY,))
MADE = {275: (_NOP_FORM, _ADR_FORM), 276: (_NOP_FORM, _ADR_FORM), 277: (_ADR_FORM,), **_STORES}

# Veneers of GNU ld (bfd/elfnn-aarch64.c) and thunks of lld (AArch64 in ELF/Thunks.cpp); any may follow a `bti c`.
_X16 = "90000010 91000210 d61f0200", "9f00001f ffc003ff ffffffff"
_LONG = "58000050 d61f0200 0 0", "ffffffff ffffffff 0 0"
_GNU_LONG = "58000090 10000011 8b110210 d61f0200 0 0", "ffffffff ffffffff ffffffff ffffffff 0 0"
VENEERS = (
    _form("adrp add br", JUMP, ADRP_ADD, *_X16),
    replace(_form("ldr br", JUMP, ABS64, *_LONG), at=8),
    replace(_form("ldr adr add br", JUMP, REL64, *_GNU_LONG), at=16, pc=4),
    _B,
)

# Of a slot: loads, stores, and what makes its address.
USES = (
    (0xF9400000, 0xFFC00000, "slot-load"),
    (0x58000000, 0xFF000000, "slot-load"),
    (0xF9000000, 0xFFC00000, "slot-store"),
    (0x90000000, 0x9F000000, "slot-address"),
    (0x10000000, 0x9F000000, "slot-address"),
    (0x91000000, 0xFFC00000, "slot-address"),
)

_REGISTERS = tuple(f"x{n}" for n in range(31))
_SMCCC = frozenset({*_REGISTERS[:18], "memory"})  # SMC Calling Convention, DEN 0028, 2.6
_EXCLUSIVE = frozenset(f"st{kind}{size}" for kind in ("xr", "lxr", "xp", "lxp") for size in ("", "b", "h"))
_MNEMONICS = Mnemonics(
    copy=frozenset({"mov"}),
    add={"add": 1, "sub": -1},
    load=frozenset({"ldr", "ldp", "ldur"}),
    store=frozenset({"str", "stp", "stur"}),
    literal=frozenset({"adr", "adrp", "ldr", "ldrsw", "prfm"}),
    writes_memory=_EXCLUSIVE,
    away=frozenset({"eret", "eretaa", "eretab", "drps", "svc"}),
    writes={
        "hvc": _SMCCC, "smc": _SMCCC, "msr": frozenset(), "msr nzcv": frozenset({"flags"}), "ic": frozenset(),
        "dc": frozenset({"memory"}), "at": frozenset(), "tlbi": frozenset(),
    } | dict.fromkeys(("cmp", "cmn", "tst"), frozenset({"flags"})),
    flags=("mrs", "msr", "nzcv"),
    jump=frozenset({"b"}),
    stop=frozenset({"brk", "udf"}),
)  # fmt: skip
AARCH64 = Arch(
    "aarch64", 183, 64, "<", marks=("$x\0", "$x.", "$d\0", "$d."), kallsyms="unsigned", relative=1027,
    frame_record=(0, 1),
    target="aarch64-linux-gnu", hosts=("aarch64",),
    relocations=RELOCATIONS | GOT | TLS,
    relaxed=frozenset({*GOT, *TLS}),
    ignored=frozenset({0, 256, *range(544, 560), *range(569, 574)}),
    forms=FORMS,
    instruction=4,
    made=MADE,
    written=0x1F,
    copied=(0x39000000, 0x3B000000),  # loads and stores with an unsigned offset, by --fix-cortex-a53-843419
    veneers=VENEERS,
    uses=USES,
    nops=(b"", b"\0", b"\0\0", b"\0\0\0", NOP),  # the shorter ones only end inline code that is no instructions
    call="bl",
    jump="b",
    ret=bytes.fromhex("c0035fd6"),
    code_cache="lines",
    others="an ISB, or an exception,",
    capstone=(1, 0),  # CS_ARCH_ARM64
    general=_REGISTERS[:29],
    caller_saved=frozenset({*_REGISTERS[:19], "x30", "flags", "memory"}),
    called=frozenset({"x16", "x17", "x30"}),
    link="x30",
    narrow="w",
    stack="sp",
    frame="x29",
    mnemonics=_MNEMONICS,
    assembly=Assembly(
        "ret", "bl", ("str {}, [sp, #-16]!", "ldr {}, [sp], #16"),
        ("mrs x16, nzcv; str x16, [sp, #-16]!", "ldr x16, [sp], #16; msr nzcv, x16"),
        ("adrp x16, {}", "ldr x16, [x16, :lo12:{}]", "blr x16"),
        pause="yield",
        publish="dsb ishst",
        increment="1: ldxr %w0, %2; add %w0, %w0, #1; stlxr %w1, %w0, %2; cbnz %w1, 1b",
    ),
    line=64,
    aliases=dict(zip(_REGISTERS, _REGISTERS, strict=True)) | {f"w{n}": f"x{n}" for n in range(31)}
    | {"fp": "x29", "lr": "x30", "sp": "sp", "wsp": "sp", "nzcv": "flags"},
)  # fmt: skip
AARCH64_BE = Arch(
    "aarch64_be", 183, 64, ">", marks=AARCH64.marks, relative=1027, frame_record=(0, 1),
    target="aarch64_be-linux-gnu", hosts=("aarch64_be",),
)  # fmt: skip
