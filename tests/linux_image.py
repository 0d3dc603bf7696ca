"""A small Linux to test against: Debian's source of it, built once into the user's cache.

`python -m tests.linux_image [VERSION]` prints the path of its vmlinux, and builds it first if there is none: 5 minutes.
"""

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from buildplug.base.errors import BuildplugError
from buildplug.base.process import run
from buildplug.linux import kbuild
from buildplug.linux.versions import SCRIPT, STAGES, LinkStage

INSTALL = Path(__file__).parents[1] / ".ci/packages"  # of what is not needed but by a test
PACKAGES = ("flex", "bison", "bc", "libelf-dev", "libssl-dev", "kmod", "cpio", "rsync", "pahole")
XEN = re.compile(r"xen-hypervisor-([\d.]+)-amd64")  # its package, by its version
# What tinyconfig lacks for a kernel that prints, boots under QEMU and Xen, and has every kind of patched site.
# RANDOMIZE_BASE makes Linux link with --emit-relocs.
CONFIG = """
    64BIT PRINTK TTY SERIAL_8250 SERIAL_8250_CONSOLE SMP HYPERVISOR_GUEST PARAVIRT PARAVIRT_SPINLOCKS KVM_GUEST PVH XEN
    XEN_PV XEN_PVH KALLSYMS KALLSYMS_ALL RELOCATABLE RANDOMIZE_BASE BLK_DEV_INITRD BINFMT_ELF PROC_FS SYSFS DEVTMPFS
    FTRACE FUNCTION_TRACER DYNAMIC_FTRACE MODULES PCI ACPI FUTEX MULTIUSER POSIX_TIMERS JUMP_LABEL NET INET EPOLL BUG
    CPU_MITIGATIONS
"""
# The same without what is for paravirt sites, and without devices and networks: it has fewer objects.
SMALL = """
    64BIT PRINTK TTY SERIAL_8250 SERIAL_8250_CONSOLE SMP KALLSYMS KALLSYMS_ALL RELOCATABLE RANDOMIZE_BASE BLK_DEV_INITRD
    BINFMT_ELF PROC_FS SYSFS DEVTMPFS FTRACE FUNCTION_TRACER DYNAMIC_FTRACE MODULES FUTEX MULTIUSER POSIX_TIMERS
    JUMP_LABEL EPOLL BUG CPU_MITIGATIONS
"""
# What Linux needs beyond that for type information in its image (BTF), as distributions build it.
BTF = ("BPF_SYSCALL", "DEBUG_KERNEL", "DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT", "DEBUG_INFO_BTF")
# What make is told so that two builds have the same bytes.
FIXED = (
    "KBUILD_BUILD_TIMESTAMP=1970-01-01", "KBUILD_BUILD_USER=user", "KBUILD_BUILD_HOST=host", "KBUILD_BUILD_VERSION=1",
)  # fmt: skip


@dataclass(frozen=True)
class Linux:
    """A version of Linux, and how it is built here."""

    stage: LinkStage
    options: str  # of its configuration, besides `base`
    objects: tuple[str, ...]  # what its last link is given before kallsyms
    kallsyms: tuple[str, ...]  # the options that its link-vmlinux.sh gives to scripts/kallsyms
    format: str  # what `buildplug ksyms` calls the output of that
    lists_itself: bool  # whether the symbols of kallsyms' own parts are in it
    image: str = "vmlinux"  # what its last link makes
    base: str = CONFIG  # other options of its configuration
    typed: str = CONFIG  # the same of the one with type information

    @property
    def package(self) -> str:
        return f"linux-source-{self.stage.version}"

    @property
    def source(self) -> Path:
        """Where the package has it, or a folder with the sources of other Debians."""
        return Path(os.environ.get("BUILDPLUG_LINUX_SOURCES", "/usr/src"), f"{self.package}.tar.xz")

    @property
    def config(self) -> list[str]:
        return [*self.base.split(), *self.options.split()]


FORMS = {stage.version: stage for stage in STAGES}
OLDEST = Linux(
    FORMS["6.1"],
    "RETPOLINE",
    ("--whole-archive", "vmlinux.a", ".vmlinux.export.o", "init/version-timestamp.o", "--no-whole-archive",
     "--start-group", "lib/lib.a", "arch/x86/lib/lib.a", "--end-group"),
    ("--all-symbols", "--absolute-percpu", "--base-relative"),
    "kallsyms",
    lists_itself=False,
)  # fmt: skip
LONG_TERM = Linux(
    FORMS["6.12"],
    "MITIGATION_RETPOLINE X86_KERNEL_IBT",
    ("--whole-archive", "vmlinux.o", ".vmlinux.export.o", "init/version-timestamp.o", "--no-whole-archive"),
    ("--all-symbols", "--absolute-percpu"),
    "kallsyms-6-12",
    lists_itself=True,
)
NEWEST = replace(
    LONG_TERM,
    stage=FORMS["7.3"],
    kallsyms=("--all-symbols", "--pc-relative"),
    format="kallsyms-7-3",
    image="vmlinux.unstripped",
    typed=SMALL,
)
LINUXES = (OLDEST, LONG_TERM, NEWEST)


class NoSource(BuildplugError):
    """This Debian has no Linux of that version."""


def cached(linux: Linux = OLDEST) -> Path | None:
    """The vmlinux that is built already of the installed source; None if there is none."""
    path = _tree(linux) / "vmlinux"
    return path if path.is_file() else None


def prepare(linux: Linux = OLDEST) -> Path:
    """The vmlinux, built if need be. Builds take turns; of a killed one nothing is used.

    Raises NoSource; BuildplugError: packages are missing and cannot be installed, or the build fails.
    """
    with _alone(_tree(linux, "packages")):
        _install(linux)
    return made(_tree(linux), partial(_build, linux)) / "vmlinux"


def unannotated(linux: Linux = OLDEST) -> Path:
    """The tree built with the macros emptied that annotate paravirt sites, and still patched so; all its objects
    compile anew, so that takes as long again. Raises BuildplugError."""

    def build(scratch: Path) -> None:
        scratch.rmdir()
        copy(prepare(linux).parent, scratch)
        kbuild.apply(scratch, paravirt=True)
        kbuild.revert(scratch, but=linux.stage.emptied)
        run(["make", f"-j{os.cpu_count()}", "vmlinux"], scratch, "build Linux")

    with _alone(_tree(linux, "packages")):
        _install(linux)
    return made(_tree(linux, linux.stage.emptied), build)


def typed(linux: Linux) -> Path:
    """A tree with type information, built by Linux's own stage and FIXED, which takes as long again. Raises
    BuildplugError."""
    with _alone(_tree(linux, "packages")):
        _install(linux)
    config = replace(linux, base=linux.typed, options=f"{linux.options} {' '.join(BTF)}")
    return made(_tree(config), partial(_build, config, words=FIXED))


def by_llvm(linux: Linux, llvm: str) -> Path:
    """A tree compiled and linked by clang and lld, as make's LLVM= says, which takes as long again. Raises
    BuildplugError."""
    with _alone(_tree(linux, "packages")):
        _install(linux)
    words = (f"LLVM={llvm}",)
    return made(_tree(linux, words), partial(_build, linux, words=words))


@contextmanager
def _alone(tree: Path) -> Iterator[None]:
    """Waits until nobody else is at that tree."""
    tree.parent.mkdir(parents=True, exist_ok=True)
    with (tree.parent / f".{tree.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made(tree: Path, build: Callable[[Path], None], image: str = "vmlinux") -> Path:
    """A tree of the cache; if there is none, `build` makes it of an empty folder."""
    with _alone(tree):
        if not (tree / image).is_file():
            scratch = tree.with_suffix(".scratch")
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            build(scratch)
            scratch.rename(tree)
    return tree


def script_words(command: Path) -> list[str]:
    """The linker and the two strings of options that its link script was called with, by the file that make keeps."""
    said = next(part for part in command.read_text().splitlines()[0].split(";") if SCRIPT in part)
    words = shlex.split(said)
    at = next(number for number, word in enumerate(words) if word.endswith(SCRIPT))
    return words[at + 1 : at + 4]


def link_words(tree: Path, linux: Linux = OLDEST, identity: str = "--build-id=sha1") -> list[str]:
    """What the linker is given for its image, there, but for the output and kallsyms."""
    _, base, more = script_words(tree / f".{linux.image}.cmd")
    words = [*base.split(), *more.replace("--build-id=sha1", identity).split(), "--script=arch/x86/kernel/vmlinux.lds"]
    return [*words, *linux.objects]


def copy(tree: Path, to: Path) -> Path:
    """A built tree at another place, in which make finds nothing to do. Sources are links: what changes them must put
    another file in their place."""
    built = (tree / ".config").stat().st_mtime

    def one(source: str, target: str) -> None:
        if Path(source).stat().st_mtime >= built:
            shutil.copy2(source, target)
        else:
            os.link(source, target)

    shutil.copytree(tree, to, symlinks=True, copy_function=one)
    objtool = (to / "tools/objtool/.objtool-in.o.cmd").read_text()
    where = objtool.removeprefix("cmd_").partition("/tools/")[
        0
    ]  # it was compiled: its commands have that folder's name
    for command in (to / "tools").rglob(".*.cmd"):
        command.write_text(command.read_text().replace(f"{where}/", f"{to}/"))
    return to


def _tree(linux: Linux, variant: object = None) -> Path:
    """Where the built tree belongs: another source or configuration is another folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    status = linux.source.stat() if linux.source.is_file() else None
    source = (status.st_size, int(status.st_mtime)) if status else None  # the time is the package's
    key = hashlib.sha256(repr((linux.config, source, *([variant] if variant else []))).encode()).hexdigest()[:16]
    return cache / "buildplug" / f"linux-{linux.stage.version}" / key


def _install(linux: Linux) -> None:
    status = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"]
    listed = [line.split() for line in run(status, Path.cwd(), "list the installed packages").output.splitlines()]
    installed = {name for name, state in listed if state == "installed"}
    source = () if linux.source.is_file() else (linux.package,)
    missing = [package for package in (*PACKAGES, *source) if package not in installed]
    if not missing and any(map(XEN.fullmatch, installed)):
        return
    if not os.geteuid():
        run(["apt-get", "update"], Path.cwd(), "refresh the lists of packages")
    known = run(["apt-cache", "pkgnames"], Path.cwd(), "list the packages").output.split()
    if linux.package in missing and linux.package not in known:
        found = " and ".join(sorted(filter(re.compile(r"linux-source-[\d.]+").fullmatch, known))) or "none"
        raise NoSource("Linux", f"expected {linux.package}, found {found}")
    xens = {name: [*map(int, match[1].split("."))] for name in known if (match := XEN.fullmatch(name))}
    if xens.keys().isdisjoint(installed):
        missing += [max(xens, key=xens.__getitem__)]
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid():
        raise BuildplugError("Linux", f"expected packages, missing {' '.join(missing)}", f"sudo {' '.join(command)}")
    run(command, Path.cwd(), "install what a build of Linux needs")


def _build(linux: Linux, tree: Path, words: Sequence[str] = ()) -> None:
    """Unpacks Linux into an empty folder and builds vmlinux there."""
    enable = [word for option in linux.config for word in ("-e", option)]
    run(["tar", "-xf", linux.source, "--strip-components=1"], tree, "unpack Linux")
    run(["make", *words, "tinyconfig"], tree, "configure Linux")
    run(["scripts/config", *enable], tree, "configure Linux")
    run(["make", *words, "olddefconfig"], tree, "configure Linux")
    run(["make", f"-j{os.cpu_count()}", *words, "vmlinux"], tree, "build Linux")


if __name__ == "__main__":
    try:
        wanted = sys.argv[1] if len(sys.argv) > 1 else OLDEST.stage.version
        print(*(prepare(linux) for linux in LINUXES if linux.stage.version == wanted))
    except BuildplugError as error:
        sys.exit(f"{error.output}{error}")
