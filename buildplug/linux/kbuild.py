"""Plugs our link stage into a tree of Linux 6.1, and takes it out again.

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
from buildplug.base.errors import BuildplugError
from buildplug.base.process import hand_over

VERSION = "6.1"
MARK = "buildplug"
# The last: Linux links with --emit-relocs, and slides by the relocations.
WANTED = (
    "X86_64", "KALLSYMS", "KALLSYMS_ALL", "KALLSYMS_ABSOLUTE_PERCPU", "KALLSYMS_BASE_RELATIVE", "X86_NEED_RELOCS",
)  # fmt: skip
UNWANTED = "LTO_CLANG"  # kallsyms has other names than the symbols
SCRIPT = "scripts/link-vmlinux.sh"
HOOKED = 'kallsymso=""'  # ours goes in front of this line
# The annotations that fill .parainstructions, emptied: the code stays, its record goes. File -> the line in front of
# which ours go, and they.
EMPTIED = {
    "arch/x86/include/asm/paravirt_types.h": (
        "/* Generate patchable code, with the default asm parameters. */",
        ("#undef _paravirt_alt", '#define _paravirt_alt(insn_string, type, clobber) insn_string "\\n"'),
    ),
    "arch/x86/include/asm/paravirt.h": (
        "#define PARA_SITE(ptype, ops)\t_PVSITE(ptype, ops, .quad, 8)",
        ("#undef _PVSITE", "#define _PVSITE(ptype, ops, word, algn) ops"),
    ),
}


def apply(tree: Path, *, paravirt: bool) -> None:
    """Patches the tree. Raises BuildplugError, and leaves the tree as it was, if it is not one that this fits."""
    _check_tree(tree)
    wanted: dict[str, tuple[str, tuple[str, ...]]] = {SCRIPT: (HOOKED, (f"{_hook(paravirt)} # {MARK}",))}
    for name, (anchor, lines) in EMPTIED.items() if paravirt else ():
        wanted[name] = (anchor, tuple(f"{line} /* {MARK} */" for line in lines))
    patched = {name: _put_in(tree / name, *wanted[name]) for name in wanted}
    revert(tree, but=wanted)
    for name, text in patched.items():
        _write(tree / name, text)


def revert(tree: Path, but: Iterable[str] = ()) -> None:
    """Takes out what apply() put in, except of the files `but`. Raises BuildplugError."""
    for name in sorted({SCRIPT, *EMPTIED} - set(but)):
        _write(tree / name, _taken_out(files.read_text(tree / name)))


def build(tree: Path, arguments: list[str], *, paravirt: bool) -> None:
    """Patches the tree, runs make there, and takes the patch out. Raises BuildplugError."""
    apply(tree, paravirt=paravirt)
    try:
        hand_over(["make", "-C", tree, *arguments], "build Linux")
    finally:
        revert(tree)


def _hook(paravirt: bool) -> str:
    """The line of shell that plugs the stage into the script. It is told that there is no CONFIG_KALLSYMS, so that it
    goes straight to its last link; and that link is ours."""
    config = build_system(f"kbuild-{'paravirt' if paravirt else 'kallsyms'}.config")
    ours = shlex.join([sys.executable, "-P", "-m", "buildplug", "ld", f"--config={config}"])
    enabled = 'is_enabled() { [ "$1" != CONFIG_KALLSYMS ] && grep -q "^$1=y" include/config/auto.conf; }'
    return f'{enabled}; export BUILDPLUG_LD="$LD"; LD=buildplug_ld; buildplug_ld() {{ {ours} "$@"; }}'


def _check_tree(tree: Path) -> None:
    makefile = files.read_text(tree / "Makefile") if (tree / "Makefile").is_file() else ""
    found = dict(re.findall(r"^(VERSION|PATCHLEVEL) = (\d+)$", makefile, re.MULTILINE))
    if not (tree / SCRIPT).is_file() or len(found) != 2:
        raise BuildplugError(tree, "expected a tree of Linux, found none", "name the folder of its sources")
    version = ".".join(found.values())
    if version != VERSION:
        raise BuildplugError(tree, f"expected Linux {VERSION}, found {version}", "other versions have other formats")
    if "kallsyms_seqs_of_names" not in files.read_text(tree / "kernel/kallsyms_internal.h"):
        raise BuildplugError(tree, "expected kallsyms with seqs_of_names, found an older form", "take a later 6.1")
    if (tree / ".config").exists():
        _check_config(tree / ".config")


def _check_config(path: Path) -> None:
    enabled = set(re.findall(r"^CONFIG_(\w+)=y$", files.read_text(path), re.MULTILINE))
    remedy = "configure Linux so, or build it with its own link stage"
    for option in WANTED:
        if option not in enabled:
            raise BuildplugError(path, f"expected CONFIG_{option}=y, found it off", remedy)
    if UNWANTED in enabled:
        raise BuildplugError(path, f"expected CONFIG_{UNWANTED} off, found it on", remedy)


def _put_in(path: Path, anchor: str, lines: tuple[str, ...]) -> str:
    """The text of a file with lines in front of the one that is `anchor`."""
    text = _taken_out(files.read_text(path)).split("\n")
    if (count := text.count(anchor)) != 1:
        raise BuildplugError(path, f"expected one line {anchor!r}, found {count}", f"it is not that of Linux {VERSION}")
    at = text.index(anchor)
    return "\n".join([*text[:at], *lines, *text[at:]])


def _taken_out(text: str) -> str:
    return re.sub(rf"^.* (# {MARK}|/\* {MARK} \*/)\n", "", text, flags=re.MULTILINE)


def _write(path: Path, text: str) -> None:
    if text != files.read_text(path):
        with files.replacing(path) as scratch:
            shutil.copymode(path, scratch)
            scratch.write_text(text)
