"""How a compiler is called for an architecture: by another name, or with flags before the user's."""

import os
import re
from pathlib import Path

from buildplug.arch.model import Arch

NATIVE = re.compile(r"(?:g?cc)(-[\d.]+)?")  # compiles for the machine that it runs on; in the group, its version
CLANG = re.compile(r"clang(-[\d.]+)?")  # compiles for any


def program(arch: Arch, cc: str, machine: str = "") -> str:
    """The compiler to run for `cc`: the cross compiler, if that is one for another machine than this. `machine`: this
    one, if empty, as uname -m says."""
    if _is_native(arch, machine) or not (match := NATIVE.fullmatch(cc)):
        return cc
    return f"{arch.target}-gcc{match[1] or ''}"


def flags(arch: Arch, cc: str, machine: str = "") -> tuple[str, ...]:
    """The flags that make that compiler compile for the architecture. Those of the user come after them, and count."""
    if _is_native(arch, machine) or not CLANG.fullmatch(Path(cc).name):
        return arch.compiler
    return (f"--target={arch.target}", *arch.compiler)


def _is_native(arch: Arch, machine: str) -> bool:
    return not arch.target or (machine or os.uname().machine) in arch.hosts
