"""The build-time check of inline code: it writes only what its op may clobber, and can stand anywhere."""

from buildplug.arch import ADDRESS, COND_JUMP, JUMP, POINTER, SLOT_JUMP, Arch
from buildplug.decode import instructions, leaves, names_register, pc_relative, register, writes
from buildplug.elf import Image
from buildplug.errors import BuildplugError
from buildplug.ops import Ops
from buildplug.rules import Rule
from buildplug.schema import unknown
from buildplug.table import OP_BITS, Table


def check(image: Image, rule: Rule, declared: Ops, table: Table) -> None:
    """Decodes the inline code of every backend in an image. Raises BuildplugError for what it may not do.

    Code that fits no site of its op is only ever called where it stands, so it may be pc-relative.
    """
    for name, op in declared.ops.items():
        for clobber in op.clobbers or ():
            if register(image.arch, clobber) not in image.arch.registers:
                raise unknown(
                    f"op {name}: clobbers", "register", clobber, image.arch.registers | image.arch.aliases.keys()
                )
    room = _rooms(image.arch, table)
    for backend, ways in declared.backends.items():
        for number, (name, op) in enumerate(declared.ops.items()):
            if name not in ways or not ways[name].inline:
                continue
            code_symbol = f"{rule.symbol}_{backend}__{name}"
            symbol = image.symbol(code_symbol)
            section = image.section_at(int(symbol["value"])) if symbol is not None else None
            if symbol is None or section is None:
                raise image.bad(f"backend {backend}, op {name}: expected the code {code_symbol}, found none")
            address = int(symbol["value"])
            content = image.bytes_of(section)[address - section.address :][: int(symbol["size"])].tobytes()
            code = content[: len(content) - len(image.arch.ret)]
            allowed = image.arch.caller_saved if op.clobbers is None else frozenset(op.clobbers)
            where = f"backend {backend}, op {name}"
            _check_code(image.arch, where, code, address, allowed, len(code) <= room.get(number, -1))


def _rooms(arch: Arch, table: Table) -> dict[int, int]:
    """The longest inline code that a site of each op takes, bytes."""
    room: dict[int, int] = {}
    for info in set(table.sites["info"].tolist()):
        op, form = info & ((1 << OP_BITS) - 1), arch.forms[info >> OP_BITS]
        if form.kind not in (COND_JUMP, ADDRESS, POINTER):  # which are only made to refer to it
            room[op] = max(room.get(op, 0), form.length - len(arch.ret) * (form.kind in (JUMP, SLOT_JUMP)))
    return room


def _check_code(arch: Arch, where: str, code: bytes, address: int, allowed: frozenset[str], copied: bool) -> None:
    permitted = {register(arch, name) for name in allowed}
    depth, end = 0, address
    for instruction in instructions(arch, code, address):
        text = f"{instruction.mnemonic} {instruction.op_str}".strip()
        if leaves(instruction) or (copied and pc_relative(arch, instruction)):
            raise BuildplugError(where, f"expected code that can stand anywhere, found '{text}'", "make it a function")
        moves = (instruction.mnemonic in arch.push) - (instruction.mnemonic in arch.pop)
        depth += moves
        if depth < 0:
            raise BuildplugError(where, f"'{text}' pops what the code did not push", "make it a function")
        written = writes(arch, instruction) - arch.pc - ({arch.stack} if moves else set())
        wrong = sorted(name for name in written - permitted if not name.startswith(arch.control))
        if wrong:
            raise BuildplugError(
                where,
                f"'{text}' writes {', '.join(wrong)}; expected only {', '.join(sorted(allowed)) or 'nothing'}",
                "change the code, or declare it in the op's clobbers",
            )
        if names_register(arch, instruction, arch.stack):
            raise BuildplugError(where, f"'{text}' is about a stack that a call changes", "make it a function")
        end = instruction.address + instruction.size
    if end != address + len(code):
        raise BuildplugError(where, f"expected instructions, found {code[end - address :].hex(' ')}")
    if depth:
        raise BuildplugError(where, "leaves the stack with more on it than before", "pop what it pushes")
