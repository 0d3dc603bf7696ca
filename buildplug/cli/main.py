"""The command line: the only place that prints an error and exits. Imports what a command needs when it runs."""

import argparse
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

from buildplug import __version__
from buildplug.base.errors import BuildplugError, printable
from buildplug.cli import commands, listing


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns its exit status: 0, 1 for an error, 2 for wrong usage."""
    words = sys.argv[1:] if arguments is None else arguments
    # the words behind ld are a linker's, and those behind repro's -- a command's: argparse would take them for its own
    mark = words.index("--") if words[:1] == ["repro"] and "--" in words else len(words)
    ours, command = words[:mark], words[mark + 1 :]
    options = argparse.Namespace(run=_ld, words=ours[1:]) if ours[:1] == ["ld"] else _parser().parse_args(ours)
    options.command = command
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start threads that nothing here needs
    gc.disable()  # a command ends before there is garbage worth the search
    try:
        options.run(options)
        sys.stdout.flush()
    except BuildplugError as error:
        if error.output:
            sys.stderr.write(error.output if error.output.endswith("\n") else error.output + "\n")
        print(f"buildplug: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(printable(f"buildplug: {error.filename or 'output'}: {error.strerror}"), file=sys.stderr)
        return 1
    return 0


def ld() -> int:
    """buildplug-ld: the one word that build systems want of a linker."""
    return main(["ld", *sys.argv[1:]])


def _ld(options: argparse.Namespace) -> None:
    from buildplug.ld import wrapper

    status = wrapper.main(options.words, sys.argv[0])
    if status:
        sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="buildplug", description="Links a kernel with tables of its own references.")
    parser.add_argument("--version", action="version", version=f"buildplug {__version__}")
    added = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], help: str) -> argparse.ArgumentParser:
        sub = added.add_parser(name, help=help, description=help)
        sub.set_defaults(run=run)
        return sub

    def of_architecture(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--arch", default="", metavar="NAME", help="in place of the configuration's")

    sub = command("build", commands.build, "compile, link, extract, relink once, verify")
    sub.add_argument("config", nargs="?", type=Path, default=Path("buildplug.toml"), help="default: buildplug.toml")
    of_architecture(sub)
    sub.add_argument("--build-dir", type=Path, metavar="DIR", help="in place of the configuration's")
    sub.add_argument("--explain", action="store_true", help="say of each pass why it runs or not")
    sub.add_argument("--json", action="store_true", help="print the record of the build")
    sub.add_argument(
        "--provenance", nargs="?", const="", metavar="FILE",
        help="write what went into the image, unsigned; default: IMAGE.provenance.json in the build directory",
    )  # fmt: skip

    sub = command(
        "report",
        commands.report,
        "show what builds and rebuilds did: a summary, JSON, or a page without network or script",
    )
    sub.add_argument(
        "input", nargs="*", type=Path, default=[Path("buildplug.toml")],
        help="a configuration, the record of its build, or what repro --json printed; default: buildplug.toml",
    )  # fmt: skip
    of_architecture(sub)
    sub.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the page")
    sub.add_argument("--json", action="store_true", help="a list with one object for each input")

    sub = command(
        "extract", listing.extract, "print the references, relocations or records of an image that a rule selects"
    )
    sub.add_argument("image", type=Path, help="linked with --emit-relocs")
    sub.add_argument("--rule", required=True, help="name of a rule that ships, or a TOML file")
    sub.add_argument("--json", action="store_true", help="one object: entries, left")

    sub = command(
        "verify", commands.verify, "prove the tables of a final link true, and that only they are new since the draft"
    )
    sub.add_argument("draft", type=Path)
    sub.add_argument("final", type=Path)
    sub.add_argument("--rule", action="append", default=[], help="of a table, beside those of the rules that ship")
    sub.add_argument("--json", action="store_true", help="one object: tables, moved, changed, sections")

    sub = command("apply", commands.apply, "write the image as it is in memory after the boot-time fixup")
    sub.add_argument("image", type=Path)
    sub.add_argument("--backend", required=True, help="name in the ops file")
    sub.add_argument("--rule", default="paravirt", help="whose table; default: paravirt")
    sub.add_argument("-o", "--output", type=Path, required=True)

    sub = command("ksyms", listing.ksyms, "look up addresses and names in an image's symbols, or list them")
    sub.add_argument("image", type=Path)
    sub.add_argument("query", nargs="*", help="an address (0x...) or a name")
    sub.add_argument("--rule", help="which symbols; default: ksyms, or linux-kallsyms for that format")
    formats = ["nm", "system-map", "json", "kallsyms"]
    sub.add_argument("--format", choices=formats, default="nm", help="of the list without a query; the last: assembly")

    sub = command("kbuild", commands.kbuild, "build Linux 6.1 with our link stage in place of its own")
    sub.description = (
        "Patches the tree (a line of scripts/link-vmlinux.sh), runs make there, and takes the patch out, also after an "
        "error. kallsyms then takes a draft and one relink; the kernel's code that uses it is as it was. Or in three "
        "steps: --apply, your make, --revert, which also mends what a killed build left."
    )
    sub.add_argument("--paravirt", action="store_true", help="make .parainstructions, too, from relocations")
    action = sub.add_mutually_exclusive_group()
    action.add_argument("--apply", action="store_true", help="only patch the tree")
    action.add_argument("--revert", action="store_true", help="only take the patch out")
    sub.add_argument("tree", type=Path, help="the folder of Linux's sources, configured")
    sub.add_argument("make", nargs="*", help="make's arguments, behind --; default: bzImage")

    command("ld", _ld, "link in place of the linker: kernels with tables, all else as the linker would")

    sub = command(
        "repro", commands.repro, "build again in varied surroundings, compare bit for bit, and say what differs why"
    )
    sub.usage = "buildplug repro [options] [PROJECT] [-- COMMAND...]"
    sub.add_argument("project", nargs="?", type=Path, default=Path(), help="configuration or folder; default: here")
    of_architecture(sub)
    sub.add_argument("--vary", action="append", default=[], metavar="NAMES", help="such as -all,time or -num_cpus")
    sub.add_argument(
        "--output", action="append", default=[], metavar="GLOB", help="what to compare; default: the image"
    )
    sub.add_argument(
        "--against", type=Path, metavar="RECORD", help="rebuild what a provenance record says, and compare"
    )
    sub.add_argument("--statement", type=Path, metavar="FILE", help="write what the rebuilds showed, in-toto, unsigned")
    sub.add_argument("--diffoscope", action="store_true", help="have it show the first difference of each blame")
    sub.add_argument("--json", action="store_true", help="print the result")

    sub = command("rules", commands.rules, "list the rules that ship, show one, or check a file of your own")
    sub.add_argument("action", choices=["list", "show", "check"], nargs="?", default="list")
    sub.add_argument("rule", nargs="?", help="name of a rule that ships, or a TOML file")
    sub.add_argument("--json", action="store_true")

    sub = command(
        "runtime", commands.runtime, "write the C, assembly and headers that the tables need, and name the files"
    )
    sub.add_argument("folder", type=Path)
    sub.add_argument("--config", type=Path, default=Path("buildplug.toml"), help="default: buildplug.toml")
    of_architecture(sub)
    sub.add_argument("--depfile", type=Path, help="write what the files and tables are made from, for make and ninja")

    sub = command("new", commands.new, "make a kernel that builds and boots")
    sub.add_argument("folder", type=Path)

    sub = command("doctor", commands.doctor, "say which tools are missing or too old, and what mends it")
    sub.add_argument("config", nargs="?", type=Path, help="whose toolchain; default: buildplug.toml, if there is one")
    of_architecture(sub)
    sub.add_argument("--json", action="store_true", help="a list of findings")

    sub = command("path", commands.path, "print where the rules for a build system are")
    sub.add_argument("system", choices=sorted(commands.RULES))
    return parser
