"""buildplug doctor: which tools are missing or too old, and the commands that install them.

Linkers and compilers are run on a small input instead of asked for their version: what counts is what they can do.
"""

import re
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from shutil import which

from buildplug.arch import compilers
from buildplug.arch.registry import by_name
from buildplug.base import process
from buildplug.base.errors import BuildplugError, printable
from buildplug.base.records import frozen
from buildplug.base.supervisor import supervise
from buildplug.cli.shared import add_architecture, print_json
from buildplug.config.project import Link, Toolchain, read, read_file
from buildplug.linker.family import by_version

PYTHON = (3, 11)
QEMU = {  # what boots a kernel of `buildplug new`
    "x86_64": "qemu-system-x86_64", "i386": "qemu-system-x86_64", "aarch64": "qemu-system-aarch64",
    "riscv64": "qemu-system-riscv64",
}  # fmt: skip
PACKAGES = (  # program -> Debian's package
    (r"g?cc", "gcc"),
    (r"(?:gcc|clang)(?:-\d+)?|ccache|distcc", r"\g<0>"),
    (r"ld\.lld(-\d+)?", r"lld\1"),
    (r"ld(?:\.bfd)?", "binutils"),
    (r"(\w+-linux-gnu\w*)-gcc", r"gcc-\1"),
    (r"(\w+-linux-gnu\w*)-ld(?:\.bfd)?", r"binutils-\1"),
    (r"c\+\+filt", "binutils"),
    (r"qemu-system-(?:x86_64|i386)", "qemu-system-x86"),
    (r"qemu-system-aarch64", "qemu-system-arm"),
    (r"qemu-system-riscv64", "qemu-system-misc"),
)
XEN = Path("/boot"), "xen-*-amd64.gz", "apt-get install xen-hypervisor-4.17-amd64, or xen-hypervisor-4.20-amd64"
SOURCE = """
	.section .bp_doctor, "a", %progbits
	.incbin "input.bin"
	.text
	.globl _start
_start:
	.long .bp_doctor_end - _start
	.section .bp_doctor, "a", %progbits
.bp_doctor_end:
	.section .rodata, "a", %progbits
	.skip 8
	.section .note.GNU-stack, "", %progbits
"""
PLACES = "SECTIONS { .bp_doctor : { KEEP(*(.bp_doctor)) } } INSERT AFTER .rodata;\n"
KERNEL = "SECTIONS { .text : { *(.text) } .rodata : { *(.rodata) } }\n"


@frozen
class Finding:
    """One tool: what it is for and what was found. `problem` and `remedy` are empty if it can be used."""

    tool: str
    use: str
    found: str
    problem: str = ""
    remedy: str = ""
    needed: bool = True  # false: needed only for what `use` says, not to build


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "config", nargs="?", type=Path, help="whose toolchain to check; default: buildplug.toml, if there is one"
    )
    add_architecture(parser)
    parser.add_argument("--json", action="store_true", help="a list of findings")


def run(options: Namespace) -> None:
    path = options.config or (Path("buildplug.toml") if Path("buildplug.toml").exists() else None)
    supervise()
    findings = examine(path, options.arch)
    if options.json:
        print_json([asdict(finding) for finding in findings])
    for finding in () if options.json else findings:
        state = "ok" if not finding.problem else "bad" if finding.needed else "optional"
        text = "; ".join(filter(None, (finding.found, finding.problem, finding.remedy)))
        print(f"{state:9}{finding.tool} ({finding.use}): {printable(text)}")
    wrong = [finding for finding in findings if finding.problem and finding.needed]
    if wrong:
        names = ", ".join(finding.tool for finding in wrong)
        raise BuildplugError("doctor", f"{names} cannot be used", "; ".join(finding.remedy for finding in wrong))


def examine(path: Path | None, arch: str = "") -> list[Finding]:
    """All findings. They are about the toolchain of the configuration at `path` for `arch` (empty: the configuration's
    own), or about the default toolchain if `path` is None. Raises BuildplugError if the file is wrong."""
    file = read_file(path / "buildplug.toml" if path.is_dir() else path, arch) if path else None
    toolchain, link = (file.toolchain, file.link) if file else (Toolchain(), Link())
    asflags, ldflags = (_of_target(flags) for flags in ((file.compile.asflags if file else ()), link.flags))
    if file:
        machine = by_name(file.kernel.arch, path)
        toolchain = replace(toolchain, cc=compilers.program(machine, toolchain.cc))
        asflags = [*compilers.flags(machine, toolchain.cc), *asflags]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for name, text in {"input.S": SOURCE, "input.bin": "\0" * 8, "ours.lds": PLACES, "kernel.lds": KERNEL}.items():
            (folder / name).write_text(text)
        found = [_python(), *_packages(), _loops()]
        compile_ = [toolchain.cc, *asflags, "-c", "-MMD", "-MF", "input.d", "-ffile-prefix-map=a=b", "-I.", "input.S"]
        found.append(_tried(toolchain.cc, "compiles and assembles", [*compile_, "-o", "input.o"], folder))
        scripts = ["-T", "ours.lds", "-T", "kernel.lds"] if link.script or not file else []
        words = [toolchain.ld, *ldflags, "--emit-relocs", "--dependency-file=d", *scripts, "input.o", "-o", "image"]
        if not found[-1].problem:
            found.append(_tried(toolchain.ld, "links", words, folder))
        found += [_there(program, "goes before the compiler", needed=True) for program in toolchain.launcher[:1]]
        if emulator := QEMU.get(file.kernel.arch if file else "x86_64"):
            found.append(_there(emulator, "boots the kernel of `buildplug new`", needed=False))
        if not file or file.kernel.arch == "x86_64":
            found.append(_hypervisor())
        found += [_there(name, "compiles a kernel in Rust", needed=False) for name in ("rustc",) if which(name)]
    if not (path and file and file.table):
        return found
    found += [_there(program, "makes names readable", needed=True) for program in read(path, arch=arch).table_programs]
    return [*found, *_bypassed(path, arch)]


def _bypassed(path: Path, arch: str) -> Iterator[Finding]:
    """Images that ought to have tables and have none, as the compiler driver took another linker."""
    from buildplug.ld import bypassed  # imports numpy

    for image, section in bypassed.outputs(read(path, arch=arch)):
        yield Finding(
            str(image), "ought to have tables", "", f"expected the section {section}, found none",
            "it was linked without buildplug, or before that table was asked for: link it again, by `buildplug ld`, or "
            "by a driver that gets a folder of `buildplug ld --into` as -B DIR (clang: --ld-path=DIR/ld)",
        )  # fmt: skip


def _of_target(flags: tuple[str, ...]) -> list[str]:
    """The flags that choose a machine, such as `--target=…`, `-m32` and `-m elf_i386`: others may name files."""
    before = ("", *flags)
    return [f for last, f in zip(before, flags, strict=False) if f.startswith(("--target=", "-m")) or last == "-m"]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, PYTHON))
    if sys.version_info < PYTHON:
        return Finding(
            "python", "runs buildplug", found, f"expected {wanted} or later", f"apt-get install python{wanted}"
        )
    return Finding("python", "runs buildplug", found)


def _packages() -> Iterator[Finding]:
    """The Python packages that buildplug's own metadata requires."""
    for wanted in metadata.requires("buildplug") or ():
        match = re.fullmatch(r"([\w.-]+)>=([\d.]+)", wanted)
        if match is None:  # of an extra
            continue
        name, least = match.groups()
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            found = ""
        problem = "" if _numbers(found) >= _numbers(least) else f"expected {least} or later"
        yield Finding(
            name, "Python package", found, problem, f"{sys.executable} -m pip install '{wanted}'" if problem else ""
        )


def _loops() -> Finding:
    from buildplug.native import loops  # lazy: imports numpy

    use = "make tables in less time"
    if loops.library():
        return Finding("loops in C", use, "compiled", needed=False)
    problem = "are not compiled" if not loops.COMPILED.exists() else "cannot be loaded"
    remedy = f"install buildplug again where there is a C compiler for this machine, and no {loops.PURE}"
    return Finding("loops in C", use, "", problem, remedy, needed=False)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _there(program: str, use: str, *, needed: bool) -> Finding:
    if which(program):
        return Finding(program, use, process.version(program, Path.cwd()), needed=needed)
    return Finding(program, use, "", "is missing", _install(program), needed)


def _hypervisor() -> Finding:
    """Xen, which is no program of this machine but a file to boot in QEMU."""
    folder, pattern, remedy = XEN
    use = "the sample kernel runs in a domain of it"
    if found := sorted(folder.glob(pattern), key=lambda path: _numbers(path.name)):
        return Finding("xen", use, str(found[-1]), needed=False)
    return Finding("xen", use, "", "is missing", remedy, needed=False)


def _tried(program: str, use: str, command: list[str], folder: Path) -> Finding:
    """Runs a tool with the arguments that a build would give it."""
    found = _there(program, use, needed=True)
    if found.problem:
        return found
    try:
        process.run(command, folder, use)
    except BuildplugError as error:
        said = next((line for line in error.output.splitlines() if "error" in line.lower()), error.output.strip())
        linker = by_version(found.found)
        remedy = "use GNU ld or lld: " + _install("ld") if linker and linker.unusable(placed=True) else ""
        return Finding(
            program, use, found.found, f"does not take what a build needs: {said:.200}", remedy or _install(program)
        )
    return found


def _install(program: str) -> str:
    """The command that installs a program."""
    name = Path(program).name
    for pattern, package in PACKAGES:
        if re.fullmatch(pattern, name):
            return f"apt-get install {re.sub(pattern, package, name).replace('_', '-')}"
    return f"install {name}, or name another in [toolchain]"
