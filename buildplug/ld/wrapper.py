"""A linker that wraps the linker: the link of the kernel becomes draft, tables, relink, proof; any other is passed on.

cli/ld.py says its options. Most links of a build are passed on, so this imports only what the link at hand needs.
"""

import os

from buildplug.base import passing
from buildplug.base.errors import BuildplugError
from buildplug.linker import command_line
from buildplug.linker.command_line import LinkLine

INSIDE = "BUILDPLUG_LD_INSIDE"  # in the environment of the linker that we run
# options of ours
VALUED, FLAGS = ("config", "arch", "ld", "into", "sysmap", "sysmap-exclude", "empty"), ("keep", "relink")


def main(words: list[str], called: str) -> int:
    """Links; `called` is the path of the program as it was called. Returns the exit status, or becomes the linker.

    Raises BuildplugError.
    """
    own, words = _own(words)
    flavor, words = (words[:2], words[2:]) if words[:1] == ["-flavor"] else ([], words)
    if "into" not in own and INSIDE in os.environ:
        raise BuildplugError(
            own["ld"] or called, "expected the real linker, found this wrapper again", "name it with --ld"
        )
    env = os.environ | {INSIDE: "1"}
    line = _parse(own["ld"], words, env)
    if "into" not in own and own["ld"] and not line.is_final:
        return passing.exec_program([own["ld"], *_needed(flavor, own["ld"]), *words], env)
    from pathlib import Path

    from buildplug.ld import settings

    config = settings.find(own["config"], called, line.output)
    image, ld = settings.image_and_linker(config, own["arch"], own["ld"])
    flags = {name: own[name] not in ("", "0") for name in FLAGS}
    output = Path(line.output)
    if "into" in own:
        from buildplug.base.supervisor import supervise
        from buildplug.ld import into

        supervise()
        into.write(Path(own["into"]), config, own["arch"], ld, image, flags)
        return 0
    line, flavor = line if own["ld"] else _parse(ld, words, env), _needed(flavor, ld)
    special = not output.parent.is_dir() or (output.exists() and not output.is_file())  # the linker says what is wrong
    if not line.is_final or not image or special:
        return passing.exec_program([ld, *flavor, *words], env)
    from buildplug.base.supervisor import supervise

    supervise()
    from buildplug.ld import cargo

    unfilled = own.get("empty", "")
    if output.name != unfilled and not cargo.is_of(line.output, image):
        status = passing.run([ld, *flavor, *words], env)
        if 0 < status < 128:  # else a signal has ended it, whatever the inputs name
            from buildplug.ld import refusals

            refusals.check_name(config, line, image, status)
        return status
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start threads that nothing here needs
    from buildplug.ld import architecture, final_link, refusals

    try:
        family = refusals.usable_family(ld, flavor, line, config, own["arch"])
        arch = own["arch"] or architecture.of(config, line)
        status = final_link.link(
            ld, flavor, config, arch, words, line, env, family, sysmap=own.get("sysmap", ""),
            unlisted=own.get("sysmap-exclude", "").split(), unfilled=unfilled, **flags,
        )  # fmt: skip
    except BuildplugError:
        final_link.remove_outputs(line)
        raise
    if status:
        final_link.remove_outputs(line)
        if not arch:
            architecture.check_said(config, line, status)
    return status


def _parse(ld: str, words: list[str], env: dict[str, str]) -> LinkLine:
    """The command line; without `ld` as lld reads its response files, which is enough to find the configuration."""

    def asked(text: str) -> bool:
        from buildplug.linker import response

        return bool(ld) and response.finds_version(ld, env, text)

    return command_line.parse(words, asked)


def _needed(flavor: list[str], ld: str) -> list[str]:
    """The words `-flavor gnu`, by which rustc makes any linker lld for ELF; none for a linker that is one without."""
    if not flavor:
        return []
    from pathlib import Path

    from buildplug.base.process import version

    return [] if version(ld, Path.cwd()) else flavor


def _own(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Our own options, which stand before the linker's, or else the environment's; and the linker's words."""
    own = {name: os.environ.get(f"BUILDPLUG_{name.upper()}", "") for name in (*VALUED[:3], *FLAGS)}
    while words:
        name, equals, value = words[0].removeprefix("--").partition("=")
        if name in FLAGS and words[0] == f"--{name}":
            own[name], words = "1", words[1:]
        elif name not in VALUED or not words[0].startswith("--"):
            break
        elif equals:
            own[name], words = value, words[1:]
        elif len(words) < 2:
            raise BuildplugError(words[0], "expected a value, found none", status=2)
        else:
            own[name], words = words[1], words[2:]
    if "empty" in own and (not own["empty"] or "/" in own["empty"] or own["empty"] in (".", "..")):
        raise BuildplugError("--empty", f"expected the name of an output, found {own['empty']!r}", status=2)
    return own, words
