"""What a kernel compiles for tables of sites: the fixup, and the backends' code and names, in C and in Rust. Knows no
images.
"""

from typing import Any

from buildplug.arch.model import Arch
from buildplug.config.ops import Ops
from buildplug.config.rule import Rule
from buildplug.tables import sites_format
from buildplug.tables.format import Source
from buildplug.tables.integers import CTYPE, RUST_TYPE


def runtime(arch: Arch, *, has_ops: bool) -> dict[str, Source]:
    """Of any kernel with sites, and with `has_ops` of one whose ops are declared."""
    values = {
        "arch": arch,
        "table": sites_format,
        "ctype": CTYPE,
        "fields": sorted({form.field for form in arch.forms}, key=arch.fields.index),  # the usual first
        "longest": max(form.length for form in arch.forms),
    }
    names = ("buildplug.h", *(("fixup.c", "live.h", "live.c") if has_ops else ()))
    return {name: Source(f"{name}.j2", values) for name in names}


def tables(rule: Rule, arch: Arch, ops: Ops | None) -> dict[str, Source]:
    """Of a table: its header, and the assembly of its backends."""
    backends = ops.backends if ops else {}
    header = {f"{rule.symbol}.h": Source("tables.h.j2", {"rule": rule, "backends": backends})}
    if ops is None:
        return header
    return header | {f"{rule.symbol}_backends.S": Source("backends.S.j2", _of_backends(rule, arch, ops))}


def rust(rule: Rule, arch: Arch, ops: Ops | None) -> dict[str, Source]:
    """The module of a table, if its ops are declared."""
    if ops is None:
        return {}
    longest = max(form.length for form in arch.forms)
    values = _of_backends(rule, arch, ops) | {"rust_type": RUST_TYPE, "longest": longest}
    return {f"{rule.symbol}.rs": Source("fixup.rs.j2", values)}


def _of_backends(rule: Rule, arch: Arch, ops: Ops) -> dict[str, Any]:
    """What the assembly of backends is rendered from."""
    return {
        "arch": arch, "rule": rule, "table": sites_format, "ops": ops.ops, "backends": ops.backends,
        "copies": {backend: ops.copies(backend) for backend in ops.backends},
        "kept": {name: op.kept(arch) for name, op in ops.ops.items()},
    }  # fmt: skip
