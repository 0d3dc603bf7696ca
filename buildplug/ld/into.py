"""Programs that are `buildplug ld` with its options, under every name that compiler drivers look for in a folder."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from buildplug.base import files
from buildplug.base.errors import BuildplugError
from buildplug.base.process import version
from buildplug.linker.family import FAMILIES, by_version

NAMES = ("ld", "buildplug-ld")  # besides those of the families


def write(folder: Path, config: Path, arch: str, ld: str, *, keep: bool) -> None:
    """Writes the programs. Under a family's name they run the linker `ld` if it is of that family, else the one that
    has the name if there is one: `gcc -fuse-ld=lld` means lld. Raises BuildplugError."""
    names = (*NAMES, *(family.program for family in FAMILIES))
    names += tuple(sorted({path.name for path in _versioned()} - {*names}))
    program = _program(ld, folder, names)
    if not program:
        raise BuildplugError(ld, "expected the real linker, found none", "name it with --ld")
    chosen = by_version(version(program, Path.cwd()))
    programs = dict.fromkeys(NAMES, program)
    for family in FAMILIES:
        programs[family.program] = "" if family == chosen else _program(family.program, folder, names)
    programs |= {name: _program(name, folder, names) for name in names if name not in programs}
    for name, real in programs.items():
        command = [sys.executable, "-P", "-m", "buildplug", "ld", "--config", str(config.absolute())]
        command += ["--arch", arch] if arch else []
        command += ["--ld", real or program, *(["--keep"] if keep else [])]
        with files.replacing(folder / name) as scratch:
            scratch.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', errors="surrogateescape")
            scratch.chmod(scratch.stat().st_mode | (scratch.stat().st_mode & 0o444) >> 2)


def _versioned() -> Iterator[Path]:
    """The linkers of this machine whose names end in a version: `clang -fuse-ld=lld-19` looks for `ld.lld-19`."""
    for folder in os.get_exec_path():
        for family in FAMILIES:
            yield from Path(folder).glob(f"{family.program}-[0-9]*")


def _program(ld: str, folder: Path, names: tuple[str, ...]) -> str:
    """Where the linker is; empty if nowhere, or if it is one of the programs that we write."""
    found = shutil.which(ld)
    ours = {(folder / name).absolute() for name in names}
    return str(Path(found).absolute()) if found and Path(found).absolute() not in ours else ""
