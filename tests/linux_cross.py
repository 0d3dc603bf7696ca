"""A small Linux of another architecture to test against: Debian's source, cross-built once into the user's cache.

`python -m tests.linux_cross ARCH [VERSION]` prints the path of its vmlinux, and builds it first if there is none: 5
minutes. The source is that of the package, or a folder `linux-source-VERSION` in the one that BUILDPLUG_LINUX_SOURCES
names.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

from buildplug.arch.aarch64 import AARCH64
from buildplug.arch.model import Arch
from buildplug.arch.riscv import RISCV64
from buildplug.base.errors import BuildplugError
from buildplug.base.process import run
from tests.linux_image import BTF, NoSource, made, script_words

# What tinyconfig lacks for a kernel that boots in QEMU, and has calls of a tracer, modules, and is moved at boot.
CONFIG = """
    PRINTK TTY SMP KALLSYMS KALLSYMS_ALL BLK_DEV_INITRD BINFMT_ELF PROC_FS SYSFS DEVTMPFS FTRACE FUNCTION_TRACER
    DYNAMIC_FTRACE MODULES FUTEX MULTIUSER POSIX_TIMERS JUMP_LABEL BUG RELOCATABLE RANDOMIZE_BASE EPOLL
"""
BUILT = "built"  # the folder of O=, in the tree: all names in it are then relative, and both may be copied
RELOCS = f"{BUILT}/vmlinux.relocs"


@dataclass(frozen=True)
class Cross:
    """An architecture of Linux, and how it is built and booted here."""

    name: str  # ARCH=
    arch: Arch
    options: str  # of its configuration, besides CONFIG; with a minus those that are to be off
    machine: tuple[str, ...]  # QEMU, and the machine that the options are of
    console: str
    version: str = "6.12"
    linked: str = "vmlinux"  # what the last link makes
    llvm: str = ""  # LLVM=, such as -19, in place of gcc and GNU ld
    kallsyms: tuple[str, ...] = ("--all-symbols",)  # the options that its link-vmlinux.sh gives to scripts/kallsyms

    @property
    def prefix(self) -> str:
        return f"{self.arch.target}-"

    @property
    def ld(self) -> str:
        return f"ld.lld{self.llvm}" if self.llvm else f"{self.prefix}ld"

    @property
    def words(self) -> list[str]:
        """What make is told of the architecture, and of where to build."""
        return [f"O={BUILT}", f"ARCH={self.name}", f"LLVM={self.llvm}" if self.llvm else f"CROSS_COMPILE={self.prefix}"]

    @property
    def script(self) -> str:
        return f"arch/{self.name}/kernel/vmlinux.lds"

    @property
    def image(self) -> str:
        return f"arch/{self.name}/boot/Image"

    @property
    def format(self) -> str:
        """What `buildplug ksyms` calls its kallsyms."""
        return f"kallsyms-{self.version.replace('.', '-')}"

    @property
    def source(self) -> Path:
        """The source, a folder or an archive; it may not be there."""
        folder = os.environ.get("BUILDPLUG_LINUX_SOURCES")
        name = f"linux-source-{self.version}"
        return Path(folder, name) if folder else Path(f"/usr/src/{name}.tar.xz")

    @property
    def config(self) -> list[str]:
        return [*CONFIG.split(), *self.options.split()]


LONG_TERM = (
    Cross(
        "arm64", AARCH64, "SERIAL_AMBA_PL011 SERIAL_AMBA_PL011_CONSOLE",
        ("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-smp", "2"), "ttyAMA0",
    ),
    Cross(
        "riscv", RISCV64, "ARCH_RV64I MMU FPU RISCV_SBI RISCV_ISA_FALLBACK SERIAL_8250 SERIAL_8250_CONSOLE "
        "SERIAL_OF_PLATFORM", ("qemu-system-riscv64", "-M", "virt", "-smp", "2"), "ttyS0",
    ),
)  # fmt: skip
# With garbage collection, which tinyconfig has there, what the first link makes is not known before.
OFF = {"riscv": " -LD_DEAD_CODE_DATA_ELIMINATION"}
NEWEST = tuple(
    replace(
        cross, version="7.3", linked="vmlinux.unstripped", kallsyms=("--all-symbols", "--pc-relative"),
        options=cross.options + OFF.get(cross.name, ""),
    )
    for cross in LONG_TERM
)  # fmt: skip
CROSSES = (*LONG_TERM, *NEWEST)


def typed(cross: Cross) -> Cross:
    """The same with type information."""
    return replace(cross, options=f"{cross.options} {' '.join(BTF)}")


def cached(cross: Cross) -> Path | None:
    """The vmlinux, with its relocations, that is built already; None if there is none."""
    path = _tree(cross) / RELOCS
    return path if path.is_file() else None


def prepare(cross: Cross) -> Path:
    """The vmlinux, built if need be. Raises NoSource; BuildplugError: a tool is missing, or the build fails."""
    if not cross.source.exists():
        raise NoSource("Linux", f"expected {cross.source}, found none", "install the package, or name the folder")
    return made(_tree(cross), partial(_build, cross), RELOCS) / RELOCS


def copy(tree: Path, to: Path) -> Path:
    """A built tree at another place, in which make finds nothing to do. Sources are links, and what replaces them does
    not change the tree; what is built is copied."""

    def one(source: str, target: str) -> None:
        copied: Callable[[str, str], object] = shutil.copy2 if f"/{BUILT}/" in source else os.link
        copied(source, target)

    shutil.copytree(tree, to, symlinks=True, copy_function=one)
    return to


def _tree(cross: Cross) -> Path:
    """Where the built tree belongs: another configuration is another folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(f"{cross.config}{cross.llvm}".encode()).hexdigest()[:16]
    return cache / "buildplug" / f"linux-{cross.version}-{cross.name}" / key


def _build(cross: Cross, tree: Path) -> None:
    """Unpacks Linux into an empty folder and builds it there, and an image that keeps its relocations."""
    if cross.source.is_dir():
        shutil.copytree(cross.source, tree, symlinks=True, dirs_exist_ok=True)
    else:
        run(["tar", "-xf", cross.source, "--strip-components=1"], tree, "unpack Linux")
    options = [(("-d" if option[0] == "-" else "-e"), option.lstrip("-")) for option in cross.config]
    make = ["make", f"-j{os.cpu_count()}", *cross.words]
    run([*make, "tinyconfig"], tree, "configure Linux")
    run(["scripts/config", "--file", f"{BUILT}/.config", *chain(*options)], tree, "configure Linux")
    run([*make, "olddefconfig"], tree, "configure Linux")
    run([*make, "Image"], tree, "build Linux")
    built = tree / BUILT
    if not (built / "vmlinux.relocs").exists():  # riscv has one already
        link = [*link_words(built, cross), "--emit-relocs", ".tmp_vmlinux2.kallsyms.o", "-o", "vmlinux.relocs"]
        run(link, built, "link Linux with its relocations")


def link_words(built: Path, cross: Cross) -> list[str]:
    """The linker and what it is given for vmlinux, in that folder, but for the output and kallsyms."""
    ld, base, more = script_words(built / f".{cross.linked}.cmd")
    objects = ["--whole-archive", "vmlinux.a", ".vmlinux.export.o", "init/version-timestamp.o", "--no-whole-archive"]
    libraries = [str(path.relative_to(built)) for path in sorted(built.rglob("lib.a"))]
    words = [ld, *base.split(), *more.split(), f"--script={cross.script}"]
    return [*words, *objects, "--start-group", *libraries, "--end-group"]


if __name__ == "__main__":
    try:
        name, version = [*sys.argv[1:], LONG_TERM[0].version][:2]
        print(*(prepare(cross) for cross in CROSSES if (cross.name, cross.version) == (name, version)))
    except BuildplugError as error:
        sys.exit(f"{error.output}{error}")
