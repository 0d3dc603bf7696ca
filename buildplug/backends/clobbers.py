"""The build-time check of backends: their code for an op writes only what the op may clobber, and code that is copied
to sites is position-independent."""

import capstone
import numpy as np

from buildplug.arch.decode import (
    IMMEDIATE,
    MEMORY,
    instructions,
    names_register,
    pc_relative,
    transfers_control,
    writes,
)
from buildplug.arch.model import Arch
from buildplug.backends.flow import Effect, Follower
from buildplug.base.errors import BuildplugError
from buildplug.base.schema import unknown
from buildplug.config.ops import OP_BITS, Op, Ops
from buildplug.config.rule import Rule
from buildplug.image.elf import Image
from buildplug.image.headers import Array
from buildplug.tables.sites_format import Table
from buildplug.tables.sites_ops import resolved_of


def check(image: Image, rule: Rule, declared: Ops, table: Table) -> None:
    """Checks the inline code and the functions of every backend in an image. Raises BuildplugError.

    Inline code that fits no site of its op is called, never copied, so it may be pc-relative.
    """
    arch = image.arch
    for name, op in declared.ops.items():
        for clobber in op.clobbers or ():
            if clobber not in arch.registers and clobber not in arch.aliases:
                raise unknown(f"op {name}: clobbers", "register", clobber, arch.registers | arch.aliases.keys())
        missing = sorted(arch.called - arch.full(op.clobbers)) if op.clobbers is not None else ()
        if missing:
            raise BuildplugError(
                f"op {name}: clobbers",
                f"expected {', '.join(sorted(arch.called))}, which a call may write, found no {', '.join(missing)}",
                "add them, here and where the op is called",
            )
    defaults = resolved_of(image, table, image.address_of(rule.symbol) or 0).functions
    allowed = [arch.caller_saved if op.clobbers is None else arch.full(op.clobbers) for op in declared.ops.values()]
    # A call of another op counts as writing whatever that op may clobber.
    follower = Follower(
        image,
        {a: Effect(dict.fromkeys(may, "an op")) for a, may in zip(defaults, allowed, strict=True) if a is not None}
        | _believed(image, rule, declared),
    )
    room, sites = _room(arch, table), _sites(image, rule, table)
    for number, (name, op) in enumerate(declared.ops.items()):
        default = defaults[number]
        if default is not None:
            _check_function(image, follower, f"op {name}, default", default, op, allowed[number])
        for backend, implementations in declared.backends.items():
            where, implementation = f"backend {backend}, op {name}", implementations.get(name)
            if implementation is None or implementation.nothing:
                continue
            if implementation.writes is not None:
                _check_believed(arch, where, implementation.writes, allowed[number])
            if implementation.inline:
                address, content = _code(image, where, f"{rule.symbol}_{backend}__{name}")
                code = content[: len(content) - len(arch.ret)]
                _check_no_site(arch, where, address, len(code), sites, declared)
                if implementation.writes is None:
                    _check_code(arch, where, code, address, allowed[number], len(code) <= room.get(number, -1))
                    if any(transfers_control(arch, each) for each in instructions(arch, code, address)):
                        _check_function(image, follower, where, address, op, allowed[number])
                continue
            if implementation.writes is not None and not implementation.preserve:
                _code(image, where, implementation.function)
                continue
            function = f"{rule.symbol}_{backend}__{name}" if implementation.preserve else implementation.function
            _check_function(image, follower, where, _code(image, where, function)[0], op, allowed[number])


def _believed(image: Image, rule: Rule, declared: Ops) -> dict[int, Effect]:
    """The code whose effect is said in the ops file, by address."""
    found = [
        (image.address_of(declared.backends[backend][op].function or f"{rule.symbol}_{backend}__{op}"), writes)
        for backend, ops in declared.believed().items()
        for op, writes in ops.items()
    ]
    return {
        address: Effect(dict.fromkeys(image.arch.full(writes or ()), "as it is declared"))
        for address, writes in found
        if address is not None
    }


def _check_believed(arch: Arch, where: str, writes: tuple[str, ...], allowed: frozenset[str]) -> None:
    """Raises BuildplugError if what an implementation is said to write is more than the op may."""
    for name in writes:
        if name not in arch.registers and name not in arch.aliases:
            raise unknown(f"{where}: writes", "register", name, arch.registers | arch.aliases.keys())
    wrong = sorted(arch.full(writes) - allowed)
    if wrong:
        raise BuildplugError(
            f"{where}: writes",
            f"found {', '.join(wrong)}; expected only {', '.join(sorted(allowed)) or 'nothing'}",
            "declare it in the op's clobbers, too",
        )


def _code(image: Image, where: str, name: str) -> tuple[int, bytes]:
    """The address and the content of a symbol. Raises BuildplugError if it is missing."""
    symbol = image.symbol(name)
    section = image.section_at(int(symbol["value"])) if symbol is not None else None
    if symbol is None or section is None:
        raise image.bad(f"{where}: expected the code {name}, found none")
    address = int(symbol["value"])
    return address, image.bytes_of(section)[address - section.address :][: int(symbol["size"])].tobytes()


def _sites(image: Image, rule: Rule, table: Table) -> tuple[Array, Array]:
    """The addresses of a table's sites, ascending, and what each says of form and op."""
    at = image.address_of(rule.symbol) or 0
    starts = (table.bases.astype("i8") + np.int64(image.arch.signed(at)))[table.site_sections].astype("u8")
    addresses = (starts + table.sites["offset"]) & np.uint64(image.arch.modulus - 1)
    order = np.argsort(addresses)
    return addresses[order], table.sites["info"][order]


def _check_no_site(arch: Arch, where: str, start: int, size: int, sites: tuple[Array, Array], declared: Ops) -> None:
    """Raises BuildplugError if inline code that may be copied holds a site: its copies would not be redirected."""
    lengths = [form.length for form in arch.forms]
    if size > max(lengths):
        return
    first, last = np.searchsorted(sites[0], np.array([start - min(start, max(lengths)), start + size], "u8"))
    for address, info in zip(sites[0][first:last].tolist(), sites[1][first:last].tolist(), strict=True):
        form, op = arch.forms[info >> OP_BITS], list(declared.ops)[info & ((1 << OP_BITS) - 1)]
        if address + form.length > start:
            raise BuildplugError(
                where,
                f"expected inline code without sites, found {form.name} of op {op} at +{address - start:#x}",
                "give the op a function with this code: it is called, so its sites are redirected",
            )


def _check_function(
    image: Image, follower: Follower, where: str, address: int, op: Op, allowed: frozenset[str]
) -> None:  # fmt: skip
    """Raises BuildplugError if a function writes more than `allowed`. Where its code cannot be followed, an op without
    clobbers is assumed to keep the calling convention, as compilers do."""
    effect = follower.follow(address)
    wrong = sorted(name for name in effect.written.keys() - allowed if not name.startswith(image.arch.control))
    expected = ", ".join(sorted(allowed)) or "nothing"
    if wrong:
        raise BuildplugError(
            where,
            f"'{effect.written[wrong[0]]}' writes {', '.join(wrong)}; expected only {expected}",
            "change the code, declare it in the op's clobbers, or have the function called with preserve = true",
        )
    if effect.unsure and op.clobbers is not None:
        raise BuildplugError(
            where,
            f"expected code that writes only {expected}, found code that cannot be followed: {effect.unsure}",
            "change the code, or have the function called with preserve = true",
        )


def _room(arch: Arch, table: Table) -> dict[int, int]:
    """The longest inline code that a site of each op takes, bytes."""
    room: dict[int, int] = {}
    for info in set(table.sites["info"].tolist()):
        op, form = info & ((1 << OP_BITS) - 1), arch.forms[info >> OP_BITS]
        if form.kind.inline:  # other kinds only get another target
            room[op] = max(room.get(op, 0), form.length - len(arch.ret_of(form)))
    return room


def _stays(arch: Arch, instruction: capstone.CsInsn, end: int) -> bool:
    """Whether a jump leads forward inside the code that ends at `end`, or a call is through a word at a fixed address:
    both do the same in a copy."""
    if arch.mnemonics.links or not instruction.operands:
        return False
    operand = instruction.operands[-1]
    if instruction.group(capstone.CS_GRP_CALL):
        return operand.type == MEMORY and not (operand.mem.base or operand.mem.index or operand.mem.segment)
    jump = instruction.group(capstone.CS_GRP_JUMP) and operand.type == IMMEDIATE
    return bool(jump) and instruction.address < operand.imm % arch.modulus <= end


def _check_code(arch: Arch, where: str, code: bytes, address: int, allowed: frozenset[str], copied: bool) -> None:
    depth, end = 0, address
    for instruction in instructions(arch, code, address):
        text = f"{instruction.mnemonic} {instruction.op_str}".strip()
        leaves = transfers_control(arch, instruction) and not _stays(arch, instruction, address + len(code))
        if leaves or (copied and pc_relative(arch, instruction)):
            raise BuildplugError(where, f"expected position-independent code, found '{text}'", "make it a function")
        moves = (instruction.mnemonic in arch.mnemonics.push) - (instruction.mnemonic in arch.mnemonics.pop)
        depth += moves
        if depth < 0:
            raise BuildplugError(where, f"'{text}' pops what the code did not push", "make it a function")
        calls = instruction.group(capstone.CS_GRP_CALL)  # the function is followed
        written = set() if calls else writes(arch, instruction) - arch.pc - ({arch.stack} if moves else set())
        wrong = sorted(name for name in written - allowed if not name.startswith(arch.control))
        if wrong:
            raise BuildplugError(
                where,
                f"'{text}' writes {', '.join(wrong)}; expected only {', '.join(sorted(allowed)) or 'nothing'}",
                "change the code, or declare it in the op's clobbers",
            )
        if names_register(arch, instruction, arch.stack):
            raise BuildplugError(where, f"'{text}' uses the stack pointer, which a call changes", "make it a function")
        end = instruction.address + instruction.size
    if end != address + len(code):
        raise BuildplugError(where, f"expected instructions, found {code[end - address :].hex(' ')}")
    if depth:
        raise BuildplugError(where, "leaves values on the stack", "pop what it pushes")
