"""Other machines: how clang compiles for each, the linkers that link it, and QEMU's user emulation that runs it.

A program for them has no C library: tests/freestanding/ has what ksyms_host needs of one.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from buildplug.arch.model import Arch
from buildplug.arch.registry import by_name
from tests import ksyms_host
from tests.conftest import tool
from tests.ksyms_host import HOST

FREESTANDING = Path(__file__).parent / "freestanding"
CFLAGS = (
    "-O1", "-g0", "-ffreestanding", "-fno-pic", "-fno-stack-protector", "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables", "-fno-omit-frame-pointer", f"-I{FREESTANDING}", "-Wno-unused-command-line-argument",
)  # fmt: skip
CALLS = ("read", "write", "exit")


@dataclass(frozen=True)
class Machine:
    """A machine: its name here, the name of its record, and the tools' words for it."""

    name: str
    arch_name: str
    flags: tuple[str, ...]  # of clang
    emulation: str  # of GNU ld and lld, -m
    binutils: str  # the prefix of GNU ld and nm; "" if Debian has none
    qemu: str
    calls: tuple[int, int, int]  # the numbers of the system calls read, write, exit
    start: str  # assembly: _start, which calls start(); and the call of a system call by number
    lld: str = "ld.lld"  # "" if no lld links it
    clang: str = "clang"
    link: tuple[str, ...] = ()  # flags of the linker

    @property
    def arch(self) -> Arch:
        return by_name(self.arch_name, "tests")

    @property
    def linkers(self) -> tuple[str, ...]:
        return (*([f"{self.binutils}-ld"] if self.binutils else []), *([self.lld] if self.lld else []))

    @property
    def cflags(self) -> tuple[str, ...]:
        numbers = (f"-DSYS_{name}={number}" for name, number in zip(CALLS, self.calls, strict=True))
        return (*self.flags, *CFLAGS, *numbers)


def _call(number: str, *arguments: str, move: str, trap: str, ret: str) -> str:
    """A function whose arguments are a system call's number and its three arguments; registers by position."""
    moves = [f"{move} {to}, {source}" for to, source in zip((number, *arguments[:3]), arguments, strict=True)]
    return "\n\t".join(["sys:", *moves, trap, ret])


_ARM = """.type sys, %function
_start: bl start
sys: push {r7, lr}
	mov r7, r0; mov r0, r1; mov r1, r2; mov r2, r3
	svc 0
	pop {r7, pc}
	.type thumb_leaf, %function
	.thumb
	.thumb_func
	.globl thumb_leaf
thumb_leaf: bx lr
	.size thumb_leaf, . - thumb_leaf"""
_THUMB = _ARM.replace("_start:", ".arm\n_start:").replace("bl start", "blx start")
_A64 = "_start: bl start\n" + _call("x8", "x0", "x1", "x2", "x3", move="mov", trap="svc 0", ret="ret")
_RISCV = "_start: call start\n" + _call("a7", "a0", "a1", "a2", "a3", move="mv", trap="ecall", ret="ret")
_SC = _call("0", "3", "4", "5", "6", move="mr", trap="sc", ret="blr")
_PPC = f"_start: bl start\n{_SC}"
_PPC64 = f""".abiversion 2
_start: addis 2, 12, .TOC. - _start@ha
	addi 2, 2, .TOC. - _start@l
	bl start
	nop
{_SC}"""
_S390 = "_start: aghi %r15, -160\n\tbrasl %r14, start\n" + _call(
    "%r1", "%r2", "%r3", "%r4", "%r5", move="lgr", trap="svc 0", ret="br %r14"
)
_MIPS = """.set noreorder
_start: addiu $sp, $sp, -32
	jal start
	nop
""" + _call("$2", "$4", "$5", "$6", "$7", move="move", trap="syscall", ret="jr $ra\n\tnop")
_LOONGARCH = "_start: bl start\n" + _call("$a7", "$a0", "$a1", "$a2", "$a3", move="move", trap="syscall 0", ret="ret")
_OLD, _NEW, _O32, _N64 = (3, 4, 1), (63, 64, 93), (4003, 4004, 4001), (5000, 5001, 5058)
_MIPSEN = ("-mno-abicalls", "-fno-pic", "-G0")

MACHINES = (
    Machine("arm", "arm", ("--target=armv7a-linux-gnueabi", "-marm"), "armelf_linux_eabi", "arm-linux-gnueabi",
            "qemu-arm", _OLD, _ARM),
    Machine("thumb", "arm", ("--target=armv7a-linux-gnueabi", "-mthumb"), "armelf_linux_eabi", "arm-linux-gnueabi",
            "qemu-arm", _OLD, _THUMB),
    Machine("armeb", "armeb", ("--target=armebv7a-linux-gnueabi",), "armelfb_linux_eabi", "arm-linux-gnueabi",
            "qemu-armeb", _OLD, _ARM, "ld.lld-19", link=("--be8",)),
    Machine("aarch64", "aarch64", ("--target=aarch64-linux-gnu",), "aarch64linux", "aarch64-linux-gnu",
            "qemu-aarch64", _NEW, _A64),
    Machine("aarch64_be", "aarch64_be", ("--target=aarch64_be-linux-gnu",), "aarch64linuxb", "aarch64-linux-gnu",
            "qemu-aarch64_be", _NEW, _A64),
    Machine("riscv64", "riscv64", ("--target=riscv64-linux-gnu", "-mno-relax", "-mcmodel=medany"), "elf64lriscv",
            "riscv64-linux-gnu", "qemu-riscv64", _NEW, _RISCV),
    Machine("riscv32", "riscv32", ("--target=riscv32-linux-gnu", "-mno-relax"), "elf32lriscv", "riscv64-linux-gnu",
            "qemu-riscv32", _NEW, _RISCV),
    Machine("ppc", "ppc", ("--target=powerpc-linux-gnu",), "elf32ppclinux", "powerpc64-linux-gnu", "qemu-ppc", _OLD,
            _PPC),
    Machine("ppc64", "ppc64", ("--target=powerpc64-linux-gnu", "-mabi=elfv2"), "elf64ppc", "powerpc64-linux-gnu",
            "qemu-ppc64", _OLD, _PPC64),
    Machine("ppc64le", "ppc64le", ("--target=powerpc64le-linux-gnu",), "elf64lppc", "powerpc64-linux-gnu",
            "qemu-ppc64le", _OLD, _PPC64),
    Machine("s390x", "s390x", ("--target=s390x-linux-gnu",), "elf64_s390", "s390x-linux-gnu", "qemu-s390x", _OLD,
            _S390, "ld.lld-19"),
    Machine("mips", "mips", ("--target=mips-linux-gnu", *_MIPSEN), "elf32btsmip", "mips-linux-gnu", "qemu-mips", _O32,
            _MIPS),
    Machine("mipsel", "mipsel", ("--target=mipsel-linux-gnu", *_MIPSEN), "elf32ltsmip", "mips-linux-gnu",
            "qemu-mipsel", _O32, _MIPS),
    Machine("mips64", "mips64", ("--target=mips64-linux-gnuabi64", *_MIPSEN), "elf64btsmip", "mips-linux-gnu",
            "qemu-mips64", _N64, _MIPS.replace("addiu", "daddiu")),
    Machine("loongarch64", "loongarch64", ("--target=loongarch64-linux-gnu", "-mno-relax"), "elf64loongarch", "",
            "qemu-loongarch64", _NEW, _LOONGARCH, "ld.lld-19", "clang-19"),
)  # fmt: skip
BY_NAME = {machine.name: machine for machine in MACHINES}


def sources(machine: Machine, folder: Path) -> list[str]:
    """Writes the sources of ksyms_host's program for a machine, without ksyms.c; their names."""
    (folder / "host.c").write_text(HOST)
    (folder / "library.c").write_text((FREESTANDING / "library.c").read_text())
    (folder / "start.S").write_text(
        f'.text\n.globl _start, sys\n{machine.start}\n.section .note.GNU-stack, "", %progbits\n'
    )
    return ["host.c", "library.c", "start.S"]


def program(machine: Machine, folder: Path) -> Path:
    """ksyms_host's program for a machine, compiled and linked."""
    names = [*sources(machine, folder), "ksyms.c"]
    ksyms_host.write(folder, machine.arch)
    for name in names:
        tool(machine.clang, *machine.cflags, "-c", name, "-o", f"{name}.o", cwd=folder)
    objects = [f"{name}.o" for name in names]
    tool(machine.linkers[0], "-m", machine.emulation, *machine.link, *objects, "-o", "host", cwd=folder)
    return folder / "host"


# Each kind of address that a plain table can have.
OWN = """name = "own"
about = "functions to call"
[select]
rows = "symbols"
functions = ["first", "second", "thumb_leaf", "start"]
[table]
fields = [
    {{ name = "near", type = "i4", value = "address" }},
    {{ name = "inside", type = "i4", value = "address", base = "table" }},
    {{ name = "entry", type = "{word}", value = "entry", base = "zero" }},
    {{ name = "size", type = "u4", value = "size" }},
    {{ name = "name", type = "string", value = "name" }},
]
"""
TABLES = '[[table]]\nrule = "ksyms"\n[[table]]\nrule = "own.toml"\n[[table]]\nrule = "functions"\n'

SCRIPT = """ENTRY(_start)
PHDRS { all PT_LOAD FILEHDR PHDRS FLAGS(7); }
SECTIONS
{
    . = 0x400000 + SIZEOF_HEADERS;
    .text : { *(.text .text.*) } :all
    .rodata : { *(.rodata .rodata.*) }
    .data : { *(.data .data.* .sdata .sdata.*) }
    .got : ALIGN(256) { *(.got .toc) }
    .bss : { *(.sbss .sbss.* .bss .bss.* COMMON) }
    /DISCARD/ : { *(.note.* .comment .eh_frame) }
}
"""

EXTRA = """
int count = 3, zero;
static const char words[] = "some";
static __attribute__((noinline, used)) int twice(int value) { return 2 * value; }
int first(int value) { return twice(value) + words[value & 3] + count; }
__attribute__((weak)) int second(void) { return zero; }
"""


def project(machine: Machine, folder: Path, linker: str, tables: str = '[[table]]\nrule = "ksyms"\n') -> Path:
    """A project whose image is ksyms_host's program with tables; its folder."""
    names = [*sources(machine, folder), "extra.c"]
    (folder / "extra.c").write_text(EXTRA)
    (folder / "kernel.lds").write_text(SCRIPT)
    flags, script = json.dumps(machine.cflags), 'script = "kernel.lds"\n'
    (folder / "buildplug.toml").write_text(
        f'[kernel]\narch = "{machine.arch_name}"\n[toolchain]\ncc = "{machine.clang}"\nld = "{linker}"\n'
        f"[compile]\nsources = {json.dumps(names)}\ncflags = {flags}\nasflags = {flags}\n"
        f"[link]\n{script}flags = {json.dumps(['-m', machine.emulation, *machine.link])}\n{tables}"
    )
    return folder


def project_with_tables(machine: Machine, folder: Path, linker: str) -> Path:
    """A project with a table of each format."""
    folder.mkdir(exist_ok=True)
    (folder / "own.toml").write_text(OWN.format(word=f"u{machine.arch.word}"))
    return project(machine, folder, linker, TABLES)
