"""A linker that wraps the linker: the link of the kernel becomes draft, tables, relink, proof; for any other we become
the linker.

    buildplug ld [--config FILE] [--arch NAME] [--ld PROGRAM] [--keep] LINKER-ARGUMENTS…
    buildplug ld [--config FILE] [--arch NAME] [--ld PROGRAM] [--keep] --into DIR

The configuration is `--config`, BUILDPLUG_CONFIG, or the buildplug.toml beside the program as it was called; the
architecture `--arch`, BUILDPLUG_ARCH, or its [kernel]; the linker `--ld`, BUILDPLUG_LD, or its [toolchain].
"""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from buildplug.base import files, process
from buildplug.base.errors import BuildplugError
from buildplug.config.project import read_file
from buildplug.linker import command_line
from buildplug.linker.family import FAMILIES, Family

INSIDE = "BUILDPLUG_LD_INSIDE"  # in the environment of the linker that we run
VALUED = ("config", "arch", "ld", "into")  # options of ours
UNUSABLE = {
    "strip-all": "tables are made of symbols and relocations; strip the image after the link",
    "oformat": "tables are made of ELF; convert the image after the link",
}
NAMES = ("ld", "buildplug-ld")  # of what --into writes


@dataclass(frozen=True)
class Settings:
    """What is known before the command line is."""

    config: Path
    arch: str  # empty: the configuration's
    ld: str
    keep: bool
    image: str  # the name of the output that gets tables; empty if there are none
    placed: bool  # whether the configuration says where tables go


def main(words: list[str], called: str) -> int:
    """Links; `called` is the path of the program as it was called. Returns the exit status, or becomes the linker.

    Raises BuildplugError.
    """
    own, words = _own(words)
    settings = _settings(own, called)
    if "into" in own:
        _write_wrappers(Path(own["into"]), settings)
        return 0
    if INSIDE in os.environ:
        raise BuildplugError(settings.ld, "expected the real linker, found this wrapper again", "name it with --ld")
    env = os.environ | {INSIDE: "1"}
    line = command_line.parse(words, partial(finds_version, settings.ld, env))
    output = line.output
    special = not output.parent.is_dir() or (output.exists() and not output.is_file())  # the linker says what is wrong
    if not line.is_final or output.name != settings.image or special:
        process.become([settings.ld, *words], env)
    for option, reason in UNUSABLE.items():
        if option in line:
            raise BuildplugError(f"--{option}", f"cannot be used: {reason}")
    family = _family(settings.ld)
    if family.refused or (not family.scripts and ("script" in line or settings.placed)):
        reason = family.refused or "it has no SECTIONS in linker scripts, which place tables beside yours"
        raise BuildplugError(settings.ld, f"{family.says} cannot be used: {reason}", "use GNU ld or lld")
    from buildplug.ld import final_link  # imports numpy: not for the many links that get no tables

    return final_link.link(
        settings.ld, settings.config, settings.arch, words, line, env, expands=family.expands, keep=settings.keep
    )


def _own(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Our own options, which stand before the linker's; and the linker's words."""
    own: dict[str, str] = {}
    while words:
        name, equals, value = words[0].removeprefix("--").partition("=")
        if words[0] == "--keep":
            own["keep"], words = "1", words[1:]
        elif name not in VALUED or not words[0].startswith("--"):
            break
        elif equals:
            own[name], words = value, words[1:]
        elif len(words) < 2:
            raise BuildplugError(words[0], "expected a value, found none", status=2)
        else:
            own[name], words = words[1], words[2:]
    return own, words


def _settings(own: dict[str, str], called: str) -> Settings:
    names = ("config", "arch", "ld", "keep")
    chosen = {name: own.get(name) or os.environ.get(f"BUILDPLUG_{name.upper()}", "") for name in names}
    config = Path(chosen["config"] or Path(called).with_name("buildplug.toml"))
    config = config / "buildplug.toml" if config.is_dir() else config
    if not chosen["config"] and not config.exists():
        raise BuildplugError(
            config, "expected a configuration, found none", "name it with --config or BUILDPLUG_CONFIG", status=2
        )
    file = read_file(config, chosen["arch"])
    ld = chosen["ld"]
    if not ld:
        ld = str(config.absolute().parent / file.toolchain.ld) if "/" in file.toolchain.ld else file.toolchain.ld
    keep = chosen["keep"] not in ("", "0")
    placed = any((file.link.after, *(table.after for table in file.table)))
    return Settings(config, chosen["arch"], ld, keep, file.kernel.name if file.table else "", placed)


def finds_version(ld: str, env: Mapping[str, str], text: str) -> bool:
    """Whether the linker says its version if that is the text of a response file."""
    import tempfile  # for few links

    with tempfile.TemporaryDirectory() as folder:
        response = Path(folder, "words")
        response.write_text(text)
        return process.heard([ld, f"@{response}"], env).status == 0


def _family(ld: str) -> Family:
    says = process.run([ld, "--version"], Path.cwd(), "say its version").output.partition("\n")[0]
    for family in FAMILIES:
        if family.says in says:
            return family
    raise BuildplugError(ld, f"expected GNU ld, lld or mold, found a linker that says {says!r}", "name one with --ld")


def _write_wrappers(folder: Path, settings: Settings) -> None:
    """Writes programs that are this one with its settings: for `gcc -B`, and for whom a command is one word."""
    import shutil

    program = shutil.which(settings.ld)
    if program is None or any(Path(program).absolute() == (folder / name).absolute() for name in NAMES):
        raise BuildplugError(settings.ld, "expected the real linker, found none", "name it with --ld")
    command = [sys.executable, "-P", "-m", "buildplug", "ld", "--config", str(settings.config.absolute())]
    command += ["--arch", settings.arch] if settings.arch else []
    command += ["--ld", str(Path(program).absolute()), *(["--keep"] if settings.keep else [])]
    for name in NAMES:
        with files.replacing(folder / name) as scratch:
            scratch.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', errors="surrogateescape")
            scratch.chmod(scratch.stat().st_mode | (scratch.stat().st_mode & 0o444) >> 2)
