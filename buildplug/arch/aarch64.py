"""aarch64: its record, for tables of symbols; its fields and the forms of its sites, which no pass uses yet.

Sources: Arm Architecture Reference Manual, DDI 0487, C6.2; ELF for the Arm 64-bit Architecture, "Relocation".
"""

from dataclasses import replace

from buildplug.arch.field import ABS64, PAGE, Base, Field, Part, Slice
from buildplug.arch.form import ADDRESS, CALL, COND_JUMP, JUMP, POINTER, SLOT_CALL, SLOT_JUMP, Form, Kind
from buildplug.arch.model import Arch

# ELF for the Arm 64-bit Architecture, "Mapping symbols"; Procedure Call Standard, "The Frame Pointer"
AARCH64 = Arch(
    "aarch64", 183, 64, "<", marks=("$x\0", "$x.", "$d\0", "$d."), relative=1027, frame_record=(0, 1),
    target="aarch64-linux-gnu", hosts=("aarch64",),
)  # fmt: skip
AARCH64_BE = replace(AARCH64, name="aarch64_be", byteorder=">", target="aarch64_be-linux-gnu", hosts=("aarch64_be",))

_ADR = (Slice(0, 2, 29), Slice(2, 19, 5))
_ADRP = (Slice(12, 2, 29), Slice(14, 19, 5))
NOP_ROOM = bytes.fromhex("ff2f03d5")  # hint #127: no assembler emits it on its own


def _jump(name: str, width: int, at: int) -> Field:
    """The field of a branch: a distance in 4-byte instructions."""
    return Field(name, 4, (Part((Slice(2, width, at),), signed=True),), Base.PC)


IMM26 = _jump("imm26", 26, 0)
IMM19 = _jump("imm19", 19, 5)
IMM14 = _jump("imm14", 14, 5)
ADR = Field("adr", 4, (Part(_ADR, signed=True),), Base.PC)
ADRP = Field("adrp", 4, (Part(_ADRP, signed=True),), Base.PAGE, step=PAGE)
ADD_LO12 = Field("add lo12", 4, (Part((Slice(0, 12, 10),)),), modulus=PAGE)
LDST64_LO12 = Field("ldst64 lo12", 4, (Part((Slice(3, 9, 10),)),), modulus=PAGE)
ADRP_LDR64 = Field("adrp ldr64", 8, (Part(_ADRP, signed=True), Part((Slice(3, 9, 42),))), Base.PAGE)
PREL32 = Field("prel32", 4, (Part((Slice(0, 32, 0),), signed=True),), Base.PC)
PREL64 = Field("prel64", 8, (Part((Slice(0, 64, 0),)),), Base.PC)
FIELDS = (IMM26, IMM19, IMM14, ADR, ADRP, ADD_LO12, LDST64_LO12, ADRP_LDR64, PREL32, PREL64)

RELOCATIONS = {
    257: ABS64, 260: PREL64, 261: PREL32, 274: ADR, 275: ADRP, 276: ADRP, 277: ADD_LO12, 279: IMM14, 280: IMM19,
    282: IMM26, 283: IMM26, 286: LDST64_LO12, 311: ADRP, 312: LDST64_LO12,
}  # fmt: skip


def _form(name: str, kind: Kind, field: Field, words: str, masks: str, padding: int = 0) -> Form:
    """A form from the 4-byte instructions `words` and their `masks`, in hexadecimal, and `padding` nops."""
    code, mask = (b"".join(int(w, 16).to_bytes(4, "little") for w in text.split()) for text in (words, masks))
    code, mask = code + NOP_ROOM * padding, mask + b"\xff" * 4 * padding
    return Form(name, kind, field, 0, 0, code, mask, 4 * padding)


FORMS = (
    _form("slot call", SLOT_CALL, ADRP_LDR64, "90000010 f9400210 d63f0200", "9f00001f ffc003ff ffffffff"),
    _form("slot jump", SLOT_JUMP, ADRP_LDR64, "90000010 f9400210 d61f0200", "9f00001f ffc003ff ffffffff"),
    *(_form(f"bl in {4 + 4 * n}", CALL, IMM26, "94000000", "fc000000", n) for n in (3, 2, 1)),
    _form("bl", CALL, IMM26, "94000000", "fc000000"),
    _form("b", JUMP, IMM26, "14000000", "fc000000"),
    _form("b.cond", COND_JUMP, IMM19, "54000000", "ff000010"),
    _form("cbz", COND_JUMP, IMM19, "34000000", "7e000000"),
    _form("tbz", COND_JUMP, IMM14, "36000000", "7e000000"),
    _form("adr", ADDRESS, ADR, "10000000", "9f000000"),
    _form("adrp", ADDRESS, ADRP, "90000000", "9f000000"),
    _form("add lo12", ADDRESS, ADD_LO12, "91000000", "ffc00000"),
    _form("pointer", POINTER, ABS64, "0 0", "0 0"),
)
