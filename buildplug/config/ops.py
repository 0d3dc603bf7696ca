"""Ops and backends, declared once in a TOML file beside the kernel."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any

from buildplug.arch.model import Arch
from buildplug.arch.registry import by_name
from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen
from buildplug.base.schema import convert, load, unknown

OP_BITS = 10  # bits of a table's site that encode the op; the other 6 encode the form

REGISTER = re.compile(r"\{(\w+)\}|\{\{(\w+)\}\}")  # {{…}}: assembler syntax such as {disp32}, not a register
WORD = re.compile(r"\[(\d+)\]$")


@frozen
class Op:
    """An operation that every backend implements. It has either `function` or `slot`."""

    function: Annotated[str, "The default implementation: references to it are sites."] = ""
    slot: Annotated[
        str, "SYMBOL+OFFSET or SYMBOL[WORD] of the word that holds the address of the default implementation."
    ] = ""
    clobbers: Annotated[
        tuple[str, ...] | None,
        "The registers that an implementation may write, and memory and flags; by default those of the C convention.",
    ] = None
    each: Annotated[
        tuple[str, ...] | str,
        "Words, mostly registers: there is an op OP_WORD for each, with the word in place of `{}` in its texts and in "
        "those of its implementations. `general` stands for the general registers of the architecture.",
    ] = ()

    def kept(self, arch: Arch) -> list[str]:
        """What code that calls a C function for this op must save: registers, and perhaps "flags"."""
        return sorted((arch.caller_saved - arch.full(self.clobbers or ()) - {"memory"}) | {*filter(None, [arch.link])})


@frozen
class Implementation:
    """What a backend does for an op. It has one of `inline`, `function` and `nothing`."""

    inline: Annotated[str, "Assembly text."] = ""
    function: Annotated[str, "The name of a function."] = ""
    nothing: Annotated[bool, "The op does nothing."] = False
    preserve: Annotated[
        bool, "Of a function: code is generated that calls it and saves what the op may not clobber."
    ] = False
    writes: Annotated[
        tuple[str, ...] | None,
        "What it may write, as in clobbers, where its code cannot be followed: it is believed, not proved, and the "
        "build's record says so.",
    ] = None

    @property
    def is_copied(self) -> bool:
        """Whether code is generated for it."""
        return bool(self.inline) or self.nothing or self.preserve


@frozen
class Group:
    """Ops that are used together: what a backend has for them must lie in one cache line."""

    ops: Annotated[tuple[str, ...], "Their names."]
    backends: Annotated[tuple[str, ...], "The backends that it is for; by default all."] = ()


@frozen
class Additions:
    """What only that architecture has, besides: ops, backends, and what a backend has for an op."""

    ops: dict[str, Op] = field(default_factory=dict)
    backends: dict[str, dict[str, Implementation]] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)


@frozen
class Ops:
    """The ops of a kernel, and the backends that one is chosen from when it boots.

    `{ax}` in any string is replaced by the architecture's full register: rax on x86_64, eax on i386. `{{ax}}` gives a
    literal `{ax}`.
    """

    ops: Annotated[dict[str, Op], "The ops by name, in the order of their numbers."]
    backends: Annotated[
        dict[str, dict[str, Implementation]], "For each backend its ops by name; one left out keeps its default."
    ]
    groups: dict[str, Group] = field(default_factory=dict)
    arch: dict[str, Additions] = field(default_factory=dict)

    def copies(self, backend: str) -> list[list[str]]:
        """The ops of a backend that need generated code, by group, then the rest. Each list starts a cache line."""
        ways = self.backends[backend]
        made = [name for name in self.ops if name in ways and ways[name].is_copied]
        groups = [
            [op for op in group.ops if op in made]
            for group in self.groups.values()
            if backend in (group.backends or (backend,))
        ]
        grouped = {op for group in groups for op in group}
        return [group for group in [*groups, [op for op in made if op not in grouped]] if group]

    def believed(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Backend -> op -> what its code is said to write, where it is not followed."""
        found = {
            backend: {op: way.writes for op, way in ways.items() if way.writes is not None}
            for backend, ways in self.backends.items()
        }
        return {backend: ops for backend, ops in found.items() if ops}


def _named(data: Any, arch: Arch, where: str) -> Any:
    """The parsed TOML with the registers in its strings replaced by their full names."""
    known = (arch.registers | arch.aliases.keys()) - {"memory"}

    def full(match: re.Match[str]) -> str:
        name, literal = match.groups()
        if literal:
            return f"{{{literal}}}"
        if name not in known:
            raise unknown(where, "register", name, known)
        return arch.aliases.get(name, name)

    if isinstance(data, dict):
        return {key: _named(value, arch, f"{where}: {key}") for key, value in data.items()}
    if isinstance(data, list):
        return [_named(item, arch, f"{where}[{i}]") for i, item in enumerate(data)]
    return REGISTER.sub(full, data) if isinstance(data, str) else data


def _words(op: Op, arch: Arch, where: str) -> tuple[str, ...]:
    """The words that an op's `each` expands to."""
    if isinstance(op.each, tuple):
        return op.each
    if op.each != "general":
        raise unknown(where, "set of registers", op.each, ("general",))
    return arch.general


def _each(declared: Ops, arch: Arch, path: Path) -> Ops:
    """Expands each op that has `each` into its ops. Unknown op names in backends are kept: read() reports them."""
    each = {name: _words(op, arch, f"{path}: ops.{name}: each") for name, op in declared.ops.items()}
    words = {name: {f"{name}_{word}": word for word in of} for name, of in each.items() if of}
    names = Counter(new for name, of in each.items() for new in [f"{name}_{w}" for w in of] or [name])
    for name in (n for n, count in names.items() if count > 1):
        raise BuildplugError(path, f"expected ops of different names, found {name} twice", "rename one")

    def put(text: str, word: str | None) -> str:
        return text if word is None else text.replace("{}", word)

    def several(name: str) -> Iterable[tuple[str, str | None]]:
        return words[name].items() if name in words else [(name, None)]

    ops = {
        new: Op(
            put(op.function, word),
            WORD.sub(lambda match: f"+{int(match[1]) * arch.word}", put(op.slot, word)),
            op.clobbers and tuple(put(c, word) for c in op.clobbers),
        )
        for name, op in declared.ops.items()
        for new, word in several(name)
    }
    backends = {
        backend: {
            new: replace(
                way,
                inline=put(way.inline, word),
                function=put(way.function, word),
                writes=way.writes and tuple(put(name, word) for name in way.writes),
            )
            for name, way in ways.items()
            for new, word in several(name)
        }
        for backend, ways in declared.backends.items()
    }
    return replace(declared, ops=ops, backends=backends)


def _of_architecture(data: dict[str, Any], arch: Arch, path: Path) -> Ops:
    """The file's records, those of one architecture merged into the others."""
    for name in data.get("arch", ()):
        by_name(name, f"{path}: arch")
    convert(Ops, data, str(path))
    own = data.get("arch", {}).get(arch.name, {})
    common = {key: value for key, value in data.items() if key != "arch"}
    declared = convert(Ops, _named(common, arch, str(path)), str(path))
    added = convert(Additions, _named(own, arch, f"{path}: arch.{arch.name}"), f"{path}: arch.{arch.name}")
    for kind in ("ops", "groups"):
        for name in getattr(added, kind).keys() & getattr(declared, kind).keys():
            raise BuildplugError(f"{path}: arch.{arch.name}.{kind}.{name}", "expected another name", "it is used above")
    backends = {
        name: declared.backends.get(name, {}) | added.backends.get(name, {})
        for name in (declared.backends | added.backends)
    }
    return Ops(declared.ops | added.ops, backends, declared.groups | added.groups)


def read(path: Path, arch: Arch) -> Ops:
    """Reads the ops file for an architecture. Raises BuildplugError."""
    declared = _each(_of_architecture(load(path), arch, path), arch, path)
    for name in (*declared.ops, *declared.backends):
        if not name.isidentifier() or not name.isascii():
            raise BuildplugError(path, f"expected a C identifier, found {name!r}", "rename it")
    if not 0 < len(declared.ops) < 1 << OP_BITS:
        raise BuildplugError(path, f"expected 1 to {(1 << OP_BITS) - 1} ops, found {len(declared.ops)}")
    for name, op in declared.ops.items():
        if bool(op.function) == bool(op.slot):
            raise BuildplugError(f"{path}: ops.{name}", "expected one of function and slot")
    for backend, implementations in declared.backends.items():
        for name, way in implementations.items():
            where = f"{path}: backends.{backend}"
            if name not in declared.ops:
                raise unknown(where, "op", name, declared.ops)
            if bool(way.inline) + bool(way.function) + way.nothing != 1:
                raise BuildplugError(f"{where}.{name}", "expected one of inline, function and nothing = true")
            if way.writes is not None and way.nothing:
                raise BuildplugError(f"{where}.{name}", "writes is for code, found nothing = true", "drop it")
            if way.writes is not None and declared.ops[name].clobbers is None:
                raise BuildplugError(f"{where}.{name}", "writes is for an op with clobbers, found none", "declare them")
            if way.preserve and not way.function:
                raise BuildplugError(f"{where}.{name}", "preserve is for a function, found none", "drop it")
            if way.preserve and declared.ops[name].clobbers is None:
                raise BuildplugError(
                    f"{where}.{name}", "preserve is for an op with clobbers, found none", "declare them"
                )
    for name, group in declared.groups.items():
        where = f"{path}: groups.{name}"
        for what, names, known in (("op", group.ops, declared.ops), ("backend", group.backends, declared.backends)):
            for unknown_ in (n for n in names if n not in known):
                raise unknown(where, what, unknown_, known)
    return declared
