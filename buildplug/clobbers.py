"""The build-time check of inline code: it writes only what its op may clobber, and can stand anywhere."""

from buildplug.arch import Arch
from buildplug.decode import instructions, register, tied_to_place, writes
from buildplug.elf import Image
from buildplug.errors import BuildplugError
from buildplug.ops import Ops
from buildplug.rules import Rule
from buildplug.table import OP_BITS, Table

PUSH, POP = ("push", "pushf", "pushfq", "pushfd"), ("pop", "popf", "popfq", "popfd")


def check(image: Image, rule: Rule, declared: Ops, table: Table) -> None:
    """Decodes the inline code of every backend in an image. Raises BuildplugError for what it may not do.

    Code that fits no site of its op is only ever called where it stands, so it may be pc-relative.
    """
    room = _rooms(image.arch, table)
    for backend, ways in declared.backends.items():
        for number, (name, op) in enumerate(declared.ops.items()):
            if name not in ways or not ways[name].inline:
                continue
            symbol = f"{rule.symbol}_{backend}_{name}"
            address = image.address_of(symbol)
            section = image.section_at(address) if address is not None else None
            if address is None or section is None:
                raise image.bad(f"backend {backend}, op {name}: expected the code {symbol}, found none")
            content = image.bytes_of(section)[address - section.address :][: _size(image, symbol)].tobytes()
            code = content[: len(content) - len(image.arch.ret)]
            allowed = image.arch.caller_saved if op.clobbers is None else frozenset(op.clobbers)
            where = f"backend {backend}, op {name}"
            _check_code(image.arch, where, code, address, allowed, len(code) <= room.get(number, 0))


def _rooms(arch: Arch, table: Table) -> dict[int, int]:
    """The longest site of each op, bytes."""
    room: dict[int, int] = {}
    for info in set(table.sites["info"].tolist()):
        op, length = info & ((1 << OP_BITS) - 1), arch.forms[info >> OP_BITS].length
        room[op] = max(room.get(op, 0), length)
    return room


def _size(image: Image, symbol: str) -> int:
    return int(image.symbols["size"][image.names.index(symbol)])


def _check_code(arch: Arch, where: str, code: bytes, address: int, allowed: frozenset[str], copied: bool) -> None:
    permitted = {register(arch, name) for name in allowed}
    depth, end = 0, address
    for instruction in instructions(arch, code, address):
        text = f"{instruction.mnemonic} {instruction.op_str}".strip()
        if copied and tied_to_place(instruction):
            raise BuildplugError(where, f"expected code that can stand anywhere, found '{text}'", "make it a function")
        written = writes(arch, instruction)
        if instruction.mnemonic in (*PUSH, *POP):
            depth += 1 if instruction.mnemonic in PUSH else -1
            written.discard(arch.stack)
            if depth < 0:
                raise BuildplugError(where, f"'{text}' pops what the code did not push", "make it a function")
        wrong = sorted(written - permitted - {"rip"} - {name for name in written if name.startswith(("cr", "dr"))})
        if wrong:
            raise BuildplugError(
                where,
                f"'{text}' writes {', '.join(wrong)}; expected only {', '.join(sorted(allowed)) or 'nothing'}",
                "change the code, or declare it in the op's clobbers",
            )
        end = instruction.address + instruction.size
    if end != address + len(code):
        raise BuildplugError(where, f"expected instructions, found {code[end - address :].hex(' ')}")
    if depth:
        raise BuildplugError(where, "leaves the stack with more on it than before", "pop what it pushes")
