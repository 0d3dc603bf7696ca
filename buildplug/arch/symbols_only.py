"""Machines that only tables of symbols are made for: nothing is known of their instructions, nor of most relocations.

Sources: the ELF supplement of each machine's ABI, for `marks`, `relative` and `frame_record`.
"""

from dataclasses import replace

from buildplug.arch.model import Arch

# ELF for the Arm Architecture, "Mapping symbols" and "Symbol Values"
ARM = Arch(
    "arm", 40, 32, "<", ("$a\0", "$a.", "$t\0", "$t.", "$d\0", "$d."), thumb=True, relative=23,
    target="arm-linux-gnueabi", hosts=("armv6l", "armv7l"),
)  # fmt: skip
PPC = Arch("ppc", 20, 32, ">", relative=22, target="powerpc-linux-gnu", hosts=("ppc",))
PPC64 = Arch("ppc64", 21, 64, ">", relative=22, target="powerpc64-linux-gnu", hosts=("ppc64",))
MIPS = Arch("mips", 8, 32, ">", relative=3, target="mips-linux-gnu", hosts=("mips",))

MACHINES = (
    ARM,
    replace(ARM, name="armeb", byteorder=">", target="armeb-linux-gnueabi", hosts=()),
    PPC,
    PPC64,
    replace(PPC64, name="ppc64le", byteorder="<", target="powerpc64le-linux-gnu", hosts=("ppc64le",)),
    Arch("s390x", 22, 64, ">", relative=12, target="s390x-linux-gnu", hosts=("s390x",)),
    Arch(
        "loongarch64", 258, 64, "<", (".L",), relative=3, frame_record=(-2, -1),
        target="loongarch64-linux-gnu", hosts=("loongarch64",),
    ),
    MIPS,
    replace(MIPS, name="mipsel", byteorder="<", target="mipsel-linux-gnu", hosts=()),  # its uname says mips, too
    Arch("mips64", 8, 64, ">", target="mips64-linux-gnuabi64", hosts=("mips64",)),
)  # fmt: skip


def unnamed(machine: int, bits: int, byteorder: str) -> Arch:
    """The record of a machine that is in no list: its symbols can be read all the same."""
    order = "little" if byteorder == "<" else "big"
    return Arch(f"{bits}-bit {order}-endian e_machine {machine}", machine, bits, byteorder)
