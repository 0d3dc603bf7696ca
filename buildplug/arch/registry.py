"""The architectures that buildplug knows."""

from buildplug.arch.model import Arch
from buildplug.arch.x86 import I386, X86_64
from buildplug.base.schema import unknown

ARCHES = {arch.name: arch for arch in (X86_64, I386)}


def by_name(name: str, where: object) -> Arch:
    """The architecture of that name. Raises BuildplugError if it is unknown."""
    if name not in ARCHES:
        raise unknown(where, "architecture", name, ARCHES)
    return ARCHES[name]
