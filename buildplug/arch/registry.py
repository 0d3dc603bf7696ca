"""The architectures that buildplug knows."""

from buildplug.arch.aarch64 import AARCH64, AARCH64_BE
from buildplug.arch.model import Arch
from buildplug.arch.riscv import RISCV32, RISCV64
from buildplug.arch.symbols_only import MACHINES, unnamed
from buildplug.arch.x86 import I386, X86_64
from buildplug.base.schema import unknown

ARCHES = {arch.name: arch for arch in (X86_64, I386, AARCH64, RISCV64)}  # for every kind of rule
SYMBOLS_ONLY = {arch.name: arch for arch in (AARCH64_BE, RISCV32, *MACHINES)}


def names() -> tuple[str, ...]:
    """The names that a configuration may give."""
    return (*ARCHES, *SYMBOLS_ONLY)


def by_name(name: str, where: object) -> Arch:
    """The architecture of that name. Raises BuildplugError if it is unknown."""
    if name not in names():
        raise unknown(where, "architecture", name, names())
    return (ARCHES | SYMBOLS_ONLY)[name]


def by_header(machine: int, bits: int, byteorder: str) -> Arch:
    """The architecture of a file whose header says so. riscv32 and riscv64 share an e_machine, as do others."""
    known = (*ARCHES.values(), *SYMBOLS_ONLY.values())
    wanted = machine, bits, byteorder
    return next((a for a in known if (a.machine, a.bits, a.byteorder) == wanted), None) or unnamed(*wanted)
