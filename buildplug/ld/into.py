"""Programs that are `buildplug ld` with its options, under every name that compiler drivers look for in a folder."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from buildplug.base import files
from buildplug.base.errors import BuildplugError
from buildplug.base.process import capture, version
from buildplug.config.project import read_file
from buildplug.config.rule import find
from buildplug.ld import shell
from buildplug.linker.family import FAMILIES, by_version

NAMES = ("ld", "buildplug-ld")  # besides those of the families
COPY = ".buildplug.toml"  # the configuration as it was
_BLOCKED = ("env", "--block-signal=INT")  # as buildplug/bin/buildplug does, where env is GNU's


def write(folder: Path, config: Path, arch: str, ld: str, image: str, flags: Mapping[str, bool]) -> None:
    """Writes the programs. Under a family's name they run the linker `ld` if it is of that family, else the one that
    has the name if there is one: `gcc -fuse-ld=lld` means lld. `image`: the name of the output that gets tables, empty
    if none does. Raises BuildplugError."""
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
    config, copy = config.absolute(), (folder / COPY).absolute()
    python = [*(_BLOCKED if capture((*_BLOCKED, "true"), os.environ).status == 0 else ()), sys.executable]
    files.write(copy, files.read(config))
    symbols = _symbols(config, arch)
    for name, real in programs.items():
        command = [*python, "-P", "-m", "buildplug", "ld", "--config", str(config)]
        command += ["--arch", arch] if arch else []
        command += ["--ld", real or program, *(f"--{name}" for name, given in flags.items() if given)]
        with files.replacing(folder / name) as scratch:
            text = shell.text(command, real or program, config, copy, image, symbols)
            scratch.write_text(text, errors="surrogateescape")
            scratch.chmod(scratch.stat().st_mode | (scratch.stat().st_mode & 0o444) >> 2)


def _symbols(config: Path, arch: str) -> list[str]:
    """The symbols of the tables; none if a rule is wrong, which is no matter before the kernel is linked."""
    try:
        return [find(table.rule, config.parent).symbol for table in read_file(config, arch).table]
    except BuildplugError:
        return []


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
