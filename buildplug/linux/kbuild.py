"""Plugs our link stage into a tree of Linux, and takes it out again.

A patch is nothing but lines put in, each marked at its end: they are taken out by their mark, whatever state a killed
build left, and the files are again what they were. Times stay those of the change, so that make sees it both ways.
"""

import re
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from buildplug.base import files
from buildplug.base.data import build_system
from buildplug.base.process import run_in_foreground
from buildplug.linux.versions import SCRIPT, STAGES, stage_of

MARK = "buildplug"


def apply(tree: Path, *, paravirt: bool) -> None:
    """Patches the tree. Raises BuildplugError, and leaves the tree as it was, if it has no link stage that we know."""
    stage = stage_of(tree, paravirt=paravirt)
    if (tree / ".config").exists():
        stage.check_options(tree / ".config")
    hook = _hook(stage.paravirt if paravirt else stage.kallsyms)
    wanted: dict[str, tuple[str, tuple[str, ...]]] = {SCRIPT: (stage.hook, (f"{hook} # {MARK}",))}
    for name, (anchor, lines) in stage.emptied.items() if paravirt else ():
        wanted[name] = (anchor, tuple(f"{line} /* {MARK} */" for line in lines))
    patched = {name: _put_in(tree / name, anchor, lines) for name, (anchor, lines) in wanted.items()}
    revert(tree, but=wanted)
    for name, text in patched.items():
        _write(tree / name, text)


def revert(tree: Path, but: Iterable[str] = ()) -> None:
    """Takes out what apply() put in, except of the files `but`. Raises BuildplugError."""
    for name in sorted({SCRIPT, *(name for stage in STAGES for name in stage.emptied)} - set(but)):
        _write(tree / name, _taken_out(files.read_text(tree / name)))


def build(tree: Path, arguments: list[str], *, paravirt: bool) -> None:
    """Patches the tree, runs make there, and takes the patch out. Raises BuildplugError."""
    apply(tree, paravirt=paravirt)
    try:
        run_in_foreground(["make", "-C", tree, *arguments], "build Linux")
    finally:
        revert(tree)


def _hook(configuration: str) -> str:
    """The line of shell that plugs the stage into the script. It is told that there is no CONFIG_KALLSYMS, so that it
    goes straight to its last link; and that link is ours."""
    ours = shlex.join([sys.executable, "-P", "-m", "buildplug", "ld", f"--config={build_system(configuration)}"])
    enabled = 'is_enabled() { [ "$1" != CONFIG_KALLSYMS ] && grep -q "^$1=y" include/config/auto.conf; }'
    return f'{enabled}; export BUILDPLUG_LD="$LD"; LD=buildplug_ld; buildplug_ld() {{ {ours} "$@"; }}'


def _put_in(path: Path, anchor: str, lines: tuple[str, ...]) -> str:
    """The text of a file with lines in front of the one that is `anchor`."""
    text = _taken_out(files.read_text(path)).split("\n")
    at = text.index(anchor)
    return "\n".join([*text[:at], *lines, *text[at:]])


def _taken_out(text: str) -> str:
    return re.sub(rf"^.* (# {MARK}|/\* {MARK} \*/)\n", "", text, flags=re.MULTILINE)


def _write(path: Path, text: str) -> None:
    if text != files.read_text(path):
        with files.replacing(path) as scratch:
            shutil.copymode(path, scratch)
            scratch.write_text(text)
