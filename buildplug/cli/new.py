"""buildplug new: a small kernel with a backtrace, in C or Rust, or a copy of the sample kernel."""

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path

from buildplug.base import files
from buildplug.base.data import build_system, shipped
from buildplug.base.errors import BuildplugError
from buildplug.cli.path import SYSTEMS

SUFFIXES = (".c", ".h", ".S", ".lds", ".toml")
BOOT = (
    "qemu-system-x86_64 -accel tcg -no-reboot -display none -serial stdio "
    "-device isa-debug-exit,iobase=0xf4,iosize=1 -append backend=native -kernel"
)
PARTS = {  # folders of templates/kernel/
    "x86_64": ("common", "x86", "x86_64"), "i386": ("common", "x86", "i386"),
    "aarch64": ("common", "aarch64"), "riscv64": ("common", "riscv64"),
}  # fmt: skip


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arch", choices=sorted(PARTS), help="the kernel's architecture; default: x86_64")
    parser.add_argument("--rust", action="store_true", help="a kernel in Rust, built by Cargo; not for i386")
    parser.add_argument(
        "--full", action="store_true",
        help="copy the sample kernel, for all architectures, which uses every rule and tests itself",
    )  # fmt: skip


def run(options: Namespace) -> None:
    folder = shlex.quote(str(options.folder))
    if options.rust:
        if options.full or options.arch == "i386":
            raise BuildplugError("new", "--rust makes a small kernel, and none for i386", "leave one out", status=2)
        made = create(options.folder, rust(options.arch or "x86_64"))
        commands = [f"make -C {folder} run"]
    elif options.full:
        if options.arch:
            raise BuildplugError("new", "--full makes a kernel for all architectures", "leave --arch out", status=2)
        made = create(options.folder, full())
        commands = [f"buildplug build {folder}", f"{BOOT} {folder}/build/vmlinux"]
    else:
        made = create(options.folder, small(options.arch or "x86_64"))
        commands = [f"make -C {folder} run"]
    print("\n  ".join([f"{len(made)} files; build and boot them with", *commands]))


def small(arch: str) -> dict[Path, Path]:
    """The files of the small kernel: name -> path. Raises BuildplugError if there is none for an architecture."""
    if arch not in PARTS:
        raise BuildplugError("new", f"expected one of {', '.join(PARTS)}, found {arch}", "write its boot code yourself")
    folders = [shipped("templates") / "kernel" / part for part in PARTS[arch]]
    return {Path(path.name): path for folder in folders for path in sorted(folder.iterdir())}


def rust(arch: str) -> dict[Path, Path]:
    """The files of the small kernel in Rust, for x86_64, aarch64 or riscv64: name -> path."""
    in_c = small(arch)
    parts = {Path(name): in_c[Path(name)] for name in ("boot.S", "kernel.lds", "machine.mk")}
    configuration = {Path(".cargo", "config.toml"): build_system(SYSTEMS["cargo"])}  # that of x86_64
    folders = [shipped("templates") / "kernel" / "rust" / part for part in ("common", arch)]
    found = {path.relative_to(folder): path for folder in folders for path in sorted(folder.rglob("*"))}
    return parts | configuration | {name: path for name, path in found.items() if path.is_file()}


def full() -> dict[Path, Path]:
    """The files of the sample kernel, which is built, booted and compared in every test of buildplug."""
    kernel = shipped("sample_kernel")
    names = (path.relative_to(kernel) for path in sorted(kernel.rglob("*")))
    return {name: kernel / name for name in names if name.suffix in SUFFIXES and name.parts[0] != "build"}


def create(folder: Path, sources: dict[Path, Path]) -> list[Path]:
    """Copies a kernel to a folder that is empty or not there; returns its files. Raises BuildplugError."""
    try:
        if folder.exists() and any(folder.iterdir()):
            raise BuildplugError(folder, "expected an empty folder, found files in it", "name another")
    except OSError as error:
        raise BuildplugError(folder, f"cannot be used: {error.strerror}", "name another") from None
    for name, path in sources.items():
        files.write(folder / name, files.read(path))
    return [folder / name for name in sources]
