"""The text of a program that is `buildplug ld` for one configuration: it starts Python only if it must.

Most links of a build are not the kernel's, and starting Python takes longer than many of them. So the shell passes on
every link that cannot be the kernel's, and of which nothing is to be said if it fails; Python gets all others. Knows no
options of linkers: a link is the kernel's only if a word ends with the kernel's name, or with what Cargo makes of it,
or is a response file.
"""

from collections.abc import Iterable
from pathlib import Path

from buildplug.base.start import HUGE_PAGES
from buildplug.ld import cargo
from buildplug.ld.wrapper import FLAGS, VALUED

DEFAULT = "a.out"  # the output of a link that names none

_HEAD = """\
#!/bin/sh
# Written by `buildplug ld --into`.
buildplug() {{ {huge_pages} exec {command} "$@"; }}
"""
_PASS_ON = """\
# Links that are not the kernel's go to the linker from here: starting Python takes longer than many of them.
case ${{BUILDPLUG_LD_INSIDE-}}${{BUILDPLUG_ARCH-}} in ?*) buildplug "$@" ;; esac
case ${{1-}} in {own} | -flavor) buildplug "$@" ;; esac
[ -x {ld} ] || buildplug "$@"
sure= # whether the link is known to be of no kernel
cmp -s {config} {copy} 2>/dev/null || buildplug "$@" # the names below may be others by now
for word do
	case $word in {image} | */{image} | -o{image} | -*={image} | {cargo} | @*) buildplug "$@" ;; esac
	if [ -e "$word" ] && [ ! -f "$word" ] && [ ! -d "$word" ]; then buildplug "$@"; fi # no reading of pipes
	case $word in -shared | */build_script_*) sure=yes ;; esac
done
# An input that refers to a table: if the link fails for lack of it, Python says why it has none. What Cargo runs in a
# build, procedural macros and build scripts, has large libraries of Rust, and is not read.
if [ ! "$sure" ]; then
	grep -qsF {symbols} -- "$@" </dev/null 2>/dev/null
	case $? in 0 | 126 | 127) buildplug "$@" ;; esac
fi
export BUILDPLUG_LD_INSIDE=1
exec {ld} "$@"
"""
_ALWAYS = 'buildplug "$@"\n'


def text(
    command: Iterable[str], ld: str, config: Path, copy: Path, image: str = "", symbols: Iterable[str] = ()
) -> str:
    """The program. `command`: what it is, in full. `copy`: a copy of the configuration that says `image`, the name of
    the output that gets tables, whose symbols are `symbols`; without them all links are for Python."""
    head = _HEAD.format(huge_pages=HUGE_PAGES, command=" ".join(map(_quoted, command)))
    if image in ("", DEFAULT) or not symbols:
        return head + _ALWAYS
    wanted = " ".join(f"-e {_quoted(symbol)}" for symbol in symbols)
    quoted = {"ld": ld, "config": str(config), "copy": str(copy), "image": image}
    crate = _quoted(cargo.as_crate(image))
    by_cargo = " | ".join(f"*{output.format(crate=crate, hash='?' * 16)}" for output in cargo.OUTPUTS)
    own = " | ".join(f"--{name}*" for name in (*VALUED, *FLAGS))
    return head + _PASS_ON.format(
        own=own, symbols=wanted, cargo=by_cargo, **{name: _quoted(value) for name, value in quoted.items()}
    )


def _quoted(word: str) -> str:
    """In quotes even where shlex.quote() sees no need of them: as a pattern, a word like `esac` needs them."""
    return "'" + word.replace("'", "'\"'\"'") + "'"
