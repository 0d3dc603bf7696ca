"""Plugs our link stage into a Linux source tree, and takes it out again.

build() has make run its script with our line in it: the script stays as it is, and only with `paravirt` two headers
are patched. apply() patches the script as well, for a make that the user starts. A patch only adds lines, and each ends
with a mark. Removing the marked lines restores the files, whatever state a killed build left them in. Modification
times are not restored, so make notices both a patch and its removal.
"""

import fcntl
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from buildplug.base import files, fingerprints, scratch
from buildplug.base.data import build_system
from buildplug.base.errors import BuildplugError
from buildplug.base.interruption import to_the_end
from buildplug.base.process import run_in_foreground
from buildplug.base.start import HUGE_PAGES
from buildplug.linux.versions import SCRIPT, STAGES, LinkStage, enabled_options, stage_of

MARK = "buildplug"
MAKEFILE = "scripts/Makefile.vmlinux"  # says how Linux runs SCRIPT
OVERRIDE = "linux.mk"  # our makefile, by which that command is taken from the environment
COMMAND, TEXT = "BUILDPLUG_LINK_COMMAND", "BUILDPLUG_LINK_VMLINUX"  # variables with that command, and with what it runs
MOMENT = 2.0  # seconds that a killed build has to end


def apply(tree: Path, arguments: Sequence[str] = (), *, paravirt: bool) -> None:
    """Patches the tree, or that which a build folder is of. `arguments`: of make, which may name a build folder.

    Raises BuildplugError, with the tree unchanged, if its link stage is not in STAGES, or the configuration lacks what
    it needs."""
    patched = _patched(tree, arguments, paravirt=paravirt)
    revert(tree, but=patched)
    for name, text in patched.items():
        _write(sources(tree) / name, text)


def _patched(tree: Path, arguments: Sequence[str], *, paravirt: bool) -> dict[str, str]:
    """File -> its text with the patch."""
    config = _built_in(tree, arguments) / ".config"
    tree = sources(tree)
    stage = stage_of(tree, paravirt=paravirt)
    if config.exists():
        stage.check_options(config, paravirt=paravirt)
        _check_pahole(config, arguments)
    hook = _hook(stage, paravirt=paravirt, system_map=stage.writes_system_map(tree))
    wanted: dict[str, tuple[str, tuple[str, ...]]] = {SCRIPT: (stage.hook, (f"{hook} # {MARK}",))}
    for name, (anchor, lines) in stage.emptied.items() if paravirt else ():
        wanted[name] = (anchor, tuple(f"{line} /* {MARK} */" for line in lines))
    return {name: _with_lines(tree / name, anchor, lines) for name, (anchor, lines) in wanted.items()}


def revert(tree: Path, but: Iterable[str] = (), arguments: Sequence[str] = ()) -> None:
    """Removes the lines that apply() added, except from the files `but`, and what killed runs have left. `arguments`:
    as of apply(). Raises BuildplugError."""
    scratch.remove_stale(_built_in(tree, arguments))
    tree = sources(tree)
    for name in sorted({SCRIPT, *_emptied(tree)} - set(but)):
        _write(tree / name, _without_lines(files.read_text(tree / name)))
        with suppress(OSError):
            files.remove_scratch((tree / name).parent)


def _emptied(tree: Path) -> set[str]:
    """The headers that some form of the stage patches."""
    return {name for stage in STAGES for name in stage.emptied if (tree / name).exists()}


def build(tree: Path, arguments: list[str], *, paravirt: bool) -> None:
    """Runs make in the tree with our link stage. With `paravirt` the headers are patched meanwhile. Raises
    BuildplugError."""
    with alone(tree):
        patched = _patched(tree, arguments, paravirt=paravirt)
        script = patched.pop(SCRIPT)
        environment = {"MAKEFILES": _makefiles(), COMMAND: _command(sources(tree), script), TEXT: script}
        try:
            revert(tree, but=patched, arguments=arguments)
            for name, text in patched.items():
                _write(sources(tree) / name, text)
            run_in_foreground(["make", "-C", tree, *arguments], "build Linux", environment)
        finally:
            to_the_end(lambda: revert(tree, arguments=arguments))


def _command(tree: Path, script: str) -> str:
    """Make's command for its link, with the text of `script`, which is in a variable, in place of SCRIPT. Make runs it
    again if the text or buildplug has changed, and if it was killed: make's note of it is gone from the start."""
    text = files.read_text(tree / MAKEFILE)
    found = re.search(r"^cmd_link_vmlinux\s*=\s*(?:\\\n\s*)?\$< ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    if found is None:
        raise BuildplugError(
            tree / MAKEFILE, f"expected cmd_link_vmlinux to begin with $<, which is {SCRIPT}, found another command",
            "use --apply, make, and --revert",
        )  # fmt: skip
    rest = re.sub(r"\s*\\\n\s*", " ", found[1])
    stage = fingerprints.by_us(script)
    return f'rm -f $(dot-target).cmd; BUILDPLUG_STAGE={stage} $(CONFIG_SHELL) -c "$${{{TEXT}:?}}" $< {rest}'


def _makefiles() -> str:
    """What each make is to read before its own makefiles. Not a variable on the command line: make gives these on in
    MAKEFLAGS, and Linux's makefiles look for letters in that, and have shells read it."""
    path = str(build_system(OVERRIDE).resolve())
    if len(path.split()) != 1:
        raise BuildplugError(
            path, "expected a path without spaces, which make reads, found some",
            "install buildplug elsewhere, or use --apply, make, and --revert",
        )  # fmt: skip
    return f"{os.environ.get('MAKEFILES', '')} {path}".strip()


@contextmanager
def alone(tree: Path) -> Iterator[None]:
    """Raises BuildplugError if another build of ours runs in the sources: one would take out the patch of the other."""
    sourced = sources(tree)
    try:
        folder = os.open(sourced, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # what is no tree is refused for that
        yield
        return
    try:
        if not _locked(folder):
            raise BuildplugError(
                sourced,
                "expected no other build in this tree, found a buildplug kbuild that runs",
                "wait for it, or build in a tree of its own",
            )
        yield
    finally:
        os.close(folder)


def _locked(folder: int) -> bool:
    """Whether a lock was free, or became it: a build that was killed takes a moment to end."""
    until = time.monotonic() + MOMENT
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        except OSError:  # a file system without locks
            return True
        else:
            return True


def sources(tree: Path) -> Path:
    """The tree itself, or the one that a folder of O= is of: make leaves a link to it there."""
    link = tree / "source"
    return link.resolve() if link.is_symlink() and not (tree / SCRIPT).exists() else tree


def _built_in(tree: Path, arguments: Sequence[str]) -> Path:
    """Where make puts what it builds, and expects the configuration: O=, in the tree that make is started in."""
    return tree / _said(arguments, ("O", "KBUILD_OUTPUT"), os.environ.get("KBUILD_OUTPUT", ""))


def _said(arguments: Sequence[str], names: tuple[str, ...], default: str) -> str:
    """What make's arguments set a variable to, by the last of its names."""
    words = (word.partition("=") for word in arguments)
    return next((value for name, _, value in reversed([*words]) if name in names), default)


def _check_pahole(config: Path, arguments: Sequence[str]) -> None:
    """Raises BuildplugError if the kernel is to have type information and what makes it is missing: Linux would say so
    after minutes, or not at all."""
    if "DEBUG_INFO_BTF" not in enabled_options(config):
        return
    named = _said(arguments, ("PAHOLE",), "pahole")
    program = next(iter(named.split()), "")
    if "$" not in named and not shutil.which(config.parent.absolute() / program if "/" in program else program):
        raise BuildplugError(
            config, f"expected the program {named!r} for CONFIG_DEBUG_INFO_BTF, found none",
            "install the package pahole, or dwarves, or say PAHOLE= to make",
        )  # fmt: skip


def _hook(stage: LinkStage, *, paravirt: bool, system_map: bool) -> str:
    """The line of shell that plugs our stage into the script. It makes the script believe that CONFIG_KALLSYMS is off,
    so that only the last link is done, and that for pahole where there is one; and replaces their linker by `buildplug
    ld`. `system_map`: whether that writes System.map as well, for which the script starts two programs."""
    configuration = build_system(stage.paravirt if paravirt else stage.kallsyms)
    command = [sys.executable, "-P", "-m", "buildplug", "ld", f"--config={configuration}"]
    if system_map:
        command.append("--sysmap=System.map")
        command += [f"--sysmap-exclude={' '.join(stage.unlisted)}"] if stage.unlisted else []
    wrapper = f"{HUGE_PAGES} {shlex.join(command)}"
    if stage.typed:
        wrapper += f" $(! is_enabled CONFIG_DEBUG_INFO_BTF || echo --empty={stage.typed})"
    mapped = '; mksysmap() { info NM "$2"; }' if system_map else ""
    enabled = 'is_enabled() { [ "$1" != CONFIG_KALLSYMS ] && grep -q "^$1=y" include/config/auto.conf; }'
    known = 'export BUILDPLUG_LD="$LD" BUILDPLUG_MERGED=vmlinux.o'
    return f'{enabled}; {known}; LD=buildplug_ld; buildplug_ld() {{ {wrapper} "$@"; }}{mapped}'


def _with_lines(path: Path, anchor: str, lines: tuple[str, ...]) -> str:
    """The text of a file with `lines` inserted before the line `anchor`."""
    text = _without_lines(files.read_text(path)).split("\n")
    at = text.index(anchor)
    return "\n".join([*text[:at], *lines, *text[at:]])


def _without_lines(text: str) -> str:
    return re.sub(rf"^.* (# {MARK}|/\* {MARK} \*/)\n", "", text, flags=re.MULTILINE)


def _write(path: Path, text: str) -> None:
    if text != files.read_text(path):
        with files.replacing(path) as new:
            shutil.copymode(path, new)
            new.write_text(text)
