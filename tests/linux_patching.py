"""What Linux makes of its paravirt sites at boot, in Python: the reference for what a guest's memory holds.

After arch/x86/kernel/paravirt.c and alternative.c: apply_paravirt(), which 6.12 has no more, then apply_alternatives(),
on the image's bytes. What is read of the image is read by pyelftools and readelf, not by our reader.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from capstone import CS_ARCH_X86, CS_MODE_64, Cs
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from buildplug.arch.x86 import X86_64
from buildplug.base.process import run
from buildplug.linux.versions import enabled_options

INVERTED = 1 << 15  # ALTINSTR_FLAG_INV: where the feature is missing
ALTERNATIVE = struct.Struct("<iiHBB")  # struct alt_instr: offsets of code and replacement, feature, their lengths
FLAGGED = struct.Struct("<iiHHBB")  # in 6.12: with flags behind the feature
NOT, DIRECT_CALL = 1, 2  # of those flags
WORD = 8
CALL = b"\xff\x15"  # call *pc-relative


class Memory:
    """The image of a kernel as it lies in memory, and its symbols."""

    def __init__(self, image: Path):
        self.path = image
        with image.open("rb") as file:
            elf = ELFFile(file)
            self.sections = {
                s.name: (s["sh_addr"], bytearray(s.data()))
                for s in elf.iter_sections() if s["sh_flags"] & 2 and s["sh_type"] != "SHT_NOBITS"
            }  # fmt: skip
            table = elf.get_section_by_name(".symtab")
            assert isinstance(table, SymbolTableSection)
            defined = [s for s in table.iter_symbols() if s["st_shndx"] != "SHN_UNDEF"]
        self.symbols = {s.name: s["st_value"] for s in defined}
        self.sizes = {s.name: s["st_size"] for s in defined}

    def _at(self, address: int) -> tuple[bytearray, int]:
        return next((d, address - a) for a, d in self.sections.values() if a <= address < a + len(d))

    def read(self, address: int, size: int) -> bytes:
        data, at = self._at(address)
        return bytes(data[at : at + size])

    def write(self, address: int, code: bytes) -> None:
        data, at = self._at(address)
        data[at : at + len(code)] = code

    def words(self, symbol: str) -> list[int]:
        """The 64-bit words of an object."""
        size = self.sizes[symbol]
        return list(struct.unpack(f"<{size // WORD}Q", self.read(self.symbols[symbol], size)))

    @cached_property
    def slots(self) -> dict[int, int]:
        """The structs of functions, which since 7.3 are two: address of a word -> the function there."""
        found: dict[int, int] = {}
        for name in sorted({"pv_ops", "pv_ops_lock"} & self.symbols.keys()):
            words = self.words(name)
            found |= {self.symbols[name] + WORD * number: word for number, word in enumerate(words)}
        return found

    @cached_property
    def sites(self) -> dict[int, int]:
        """Every call through a slot, by readelf's relocations: address -> address of the slot."""
        found = {}
        listed = run(["readelf", "-rW", self.path], Path.cwd(), "list relocations").output
        for line in listed.splitlines():
            words = line.split()  # offset, info, type, the symbol's value, its name, sign, addend
            if len(words) == 7 and words[2] == "R_X86_64_PC32":
                target = int(words[3], 16) + int(words[5] + words[6], 16) + 4
                site = int(words[0], 16) - len(CALL)
                if target in self.slots and self._is_code(site):
                    found[site] = target
        return found

    def _is_code(self, site: int) -> bool:
        return any(a <= site < a + len(d) and d[site - a :][:2] == CALL for a, d in self.sections.values())


def nops(length: int) -> bytes:
    """add_nops()."""
    code = b""
    while len(code) < length:
        code += X86_64.nops[min(length - len(code), 8)]
    return code


def call(site: int, target: int) -> bytes:
    return b"\xe8" + ((target - site - 5) % 2**32).to_bytes(4, "little")


def patch(version: str, memory: Memory, ops: dict[int, int], features: set[int]) -> dict[int, bytes]:
    """Patches memory as that version of Linux does with those functions in the slots and those of the features that its
    paravirt code asks for; site -> the bytes there, up to the end of the alternative that it stands in."""
    return (_patch_sites if version == "6.1" else _patch_alternatives)(memory, ops, features)


def _patch_alternatives(memory: Memory, ops: dict[int, int], features: set[int]) -> dict[int, bytes]:
    """By 6.12: .altinstructions alone. Sites that it does not name stay as they are. 7.3 writes the last entry of a
    site only, which leaves the same."""
    lengths, bug = dict.fromkeys(memory.sites, len(CALL) + 4), memory.symbols["BUG_func"]
    address, table = memory.sections[".altinstructions"]
    for at, (to, replacement, feature, flags, length, new) in enumerate(FLAGGED.iter_unpack(bytes(table))):
        place = address + FLAGGED.size * at
        if (site := place + to) not in lengths:
            continue
        lengths[site] = length
        if (feature in features) != bool(flags & NOT):
            code = memory.read(place + 4 + replacement, new)
            if flags & DIRECT_CALL:
                assert code == call(place + 4 + replacement, bug)
                function = ops[memory.sites[site]] or bug
                code = b"" if function == memory.symbols["nop_func"] else call(site, function)
            memory.write(site, code + b"\x90" * (length - len(code)))
        memory.write(site, _optimized(memory.read(site, length)))
    return {site: memory.read(site, length) for site, length in lengths.items()}


def _patch_sites(memory: Memory, ops: dict[int, int], features: set[int]) -> dict[int, bytes]:
    """By 6.1. First all sites, whatever lists them, then .altinstructions."""
    lengths = dict.fromkeys(memory.sites, len(CALL) + 4)
    for site, slot in memory.sites.items():
        function = ops[slot] or memory.symbols["paravirt_BUG"]
        code = b"" if function == memory.symbols["_paravirt_nop"] else call(site, function)
        memory.write(site, code + nops(lengths[site] - len(code)))
    address, table = memory.sections[".altinstructions"]
    for at in range(0, len(table), ALTERNATIVE.size):
        to, replacement, feature, length, new = ALTERNATIVE.unpack_from(table, at)
        site, replacement = address + at + to, address + at + 4 + replacement
        if site not in lengths:
            continue
        lengths[site] = length
        if (feature & ~INVERTED in features) != bool(feature & INVERTED):
            code = memory.read(replacement, new)
            if code[:1] == b"\xe8":
                code = call(site, replacement + 5 + int.from_bytes(code[1:], "little", signed=True))
            memory.write(site, code + b"\x90" * (length - new))
        memory.write(site, _optimized(memory.read(site, length)))
    return {site: memory.read(site, length) for site, length in lengths.items()}


def _optimized(code: bytes) -> bytes:
    """optimize_nops(): nops of one byte in a row become longer ones."""
    decoder, at = Cs(CS_ARCH_X86, CS_MODE_64), 0
    while at < len(code):
        run_ = len(code[at:]) - len(code[at:].lstrip(b"\x90"))
        if run_ > 1:
            code = code[:at] + nops(run_) + code[at + run_ :]
        at += run_ or next(decoder.disasm(code[at:], 0, 1)).size
    return code


@dataclass(frozen=True)
class Members:
    """Where the members of pv_ops are, and the numbers of features: what the compiler says of the tree's headers."""

    offsets: Mapping[str, int]
    features: Mapping[str, int]


FEATURES = ("ALWAYS", "XENPV")
PARTS = ("cpu", "irq", "mmu")  # of pv_ops, in their order


def members(tree: Path) -> Members:
    """Asks the compiler, by a source of ours that Kbuild compiles to assembly."""
    of, names = "struct paravirt_patch_template", {*PARTS, *xen_assigns(tree)}
    source = tree / "arch/x86/kernel/buildplug_members.c"
    asked = {name: f"offsetof({of}, {name})" for name in sorted(names)} | {"end": f"offsetofend({of}, {PARTS[-1]})"}
    asked |= {name: f"X86_FEATURE_{name}" for name in FEATURES}
    lines = [f'asm(".ascii \\"->{name} %c0\\"" :: "i" ({value}));' for name, value in asked.items()]
    headers = ("linux/types.h", "linux/stddef.h", "asm/cpufeatures.h", "asm/paravirt.h")
    head = "".join(f"#include <{name}>\n" for name in headers) + "void members(void);\nvoid members(void)\n{\n"
    source.write_text(head + "\n".join(lines) + "\n}\n")
    run(["make", "arch/x86/kernel/buildplug_members.s"], tree, "compile to assembly")
    text = source.with_suffix(".s").read_text()
    values = {name: int(value) for name, value in re.findall(r'^\s*\.ascii "->(\S+) (\d+)"', text, re.MULTILINE)}
    return Members(
        {name: value for name, value in values.items() if name not in FEATURES},
        {name: values[name] for name in FEATURES},
    )


OPTIONAL = re.compile(r"^#ifdef CONFIG_(\w+)\n((?:[^#].*\n|\n)*)#endif", re.MULTILINE)
FUNCTION = re.compile(r"^\w[^;{}]*?\b(\w+)\([^;{}]*\)\n\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
ASSIGNED = re.compile(r"pv_ops\.(\w+\.\w+) = (?:(PV_CALLEE_SAVE)|__PV_IS_CALLEE_SAVE)?\(?&?(\w+)\)?;")
FIRST = ("xen_start_kernel", "xen_init_irq_ops", "xen_init_mmu_ops")  # before the other functions that assign


def xen_assigns(tree: Path) -> dict[str, str]:
    """What Xen's code assigns to members of pv_ops, by its source; of several the last. Locks are not in it."""
    text = "".join((tree / "arch/x86/xen" / name).read_text() for name in ("enlighten_pv.c", "irq.c", "mmu_pv.c"))
    enabled = enabled_options(tree / ".config")
    text = OPTIONAL.sub(lambda block: block[2] if block[1] in enabled else "", text)
    ordered = sorted(FUNCTION.findall(text), key=lambda function: function[0] not in FIRST)
    assigned = [found for _, code in ordered for found in ASSIGNED.findall(code)]
    assert len(assigned) == len(ASSIGNED.findall(text))
    aliases = {"paravirt_nop": "nop_func"}
    return {member: "__raw_callee_save_" * bool(thunk) + aliases.get(name, name) for member, thunk, name in assigned}


def xen_ops(memory: Memory, tree: Path, found: Members) -> dict[int, int]:
    """The slots of a PV dom0 with one processor, by the image: its locks stay native."""
    ops, start = dict(memory.slots), memory.symbols["pv_ops"]
    bounds = [found.offsets[name] for name in (*PARTS, "end")]
    for part, first, end in zip(PARTS, bounds, bounds[1:], strict=False):
        if f"xen_{part}_ops" in memory.symbols:  # 7.3 has none, and assigns member by member
            words = memory.words(f"xen_{part}_ops")
            ops |= {start + offset: words[offset // WORD] for offset in range(first, end, WORD)}
    for member, function in xen_assigns(tree).items():
        ops[start + found.offsets[member]] = memory.symbols[function]
    return ops
