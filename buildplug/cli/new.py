"""buildplug new: a copy of the sample kernel, which is built, booted and compared in every test of buildplug."""

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path

from buildplug.base import files
from buildplug.base.data import shipped
from buildplug.base.errors import BuildplugError

SUFFIXES = (".c", ".h", ".S", ".lds", ".toml")
BOOT = (
    "qemu-system-x86_64 -accel tcg -no-reboot -display none -serial stdio "
    "-device isa-debug-exit,iobase=0xf4,iosize=1 -append backend=native -kernel"
)


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)


def run(options: Namespace) -> None:
    made = create(options.folder)
    folder = shlex.quote(str(options.folder))
    print(f"{len(made)} files; build and boot them with\n  buildplug build {folder}\n  {BOOT} {folder}/build/vmlinux")


def create(folder: Path) -> list[Path]:
    """Makes the kernel in a folder that is empty or not there; returns its files. Raises BuildplugError."""
    try:
        if folder.exists() and any(folder.iterdir()):
            raise BuildplugError(folder, "expected an empty folder, found files in it", "name another")
    except OSError as error:
        raise BuildplugError(folder, f"cannot be used: {error.strerror}", "name another") from None
    made = []
    kernel = shipped("sample_kernel")
    for name in sorted(path.relative_to(kernel) for path in kernel.rglob("*")):
        if name.suffix in SUFFIXES and name.parts[0] != "build":
            files.write(folder / name, files.read(kernel / name))
            made.append(folder / name)
    return made
