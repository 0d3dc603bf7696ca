"""The command line: the only place that prints an error and exits. Imports only the command that is called."""

import gc
import os
import sys

from buildplug import __version__
from buildplug.base.errors import BuildplugError, Ended, Interrupted, printable

WIDTH = 118  # of a usage line behind wrong usage
COMMANDS = {  # name -> what it does; its module has arguments(), but for ld, which adds them to a parser; and run()
    "build": "compile, link, extract, relink once, verify",
    "report": "show what builds and rebuilds did: a summary, JSON, or a page without network or script",
    "extract": "print the rows that a rule selects of an image: references, symbols, relocations or records",
    "verify": "prove the tables of a final link true, and that only they are new since the draft",
    "apply": "write the image as it is in memory after the boot-time fixup",
    "ksyms": "look up addresses and names in an image's symbols, or list them",
    "kbuild": "build Linux with our link stage in place of its own",
    "ld": "link in place of the linker: kernels with tables, all else as the linker would",
    "repro": "build again in varied surroundings, compare bit for bit, and say what differs why",
    "rules": "list the rules that ship, show one, check a file of your own, or print the schema of one",
    "schema": "print the JSON schema of buildplug.toml, of rules or of ops files",
    "runtime": "write the C, assembly and headers that the tables need, and name the files",
    "new": "make a kernel that builds and boots",
    "doctor": "say which tools are missing or too old, and what mends it",
    "path": "print where the rules for a build system are",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns its exit status: 0, 1 for an error, 2 for wrong usage."""
    status = _status(arguments)
    if "buildplug.base.supervisor" in sys.modules:  # else there are no two processes; it is slow to import
        from buildplug.base.supervisor import exit_if_worker

        exit_if_worker(status)
    return status


def _status(arguments: list[str] | None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    gc.disable()  # a command ends before there is garbage worth the search
    try:
        status = _ld(words[1:]) if words[:1] == ["ld"] else _run(words)
        sys.stdout.flush()
    except BuildplugError as error:
        if error.output:
            sys.stderr.write(error.output if error.output.endswith("\n") else error.output + "\n")
        print(f"buildplug: {error}", file=sys.stderr)
        return error.status
    except Ended as ended:  # its child has done all
        return ended.status
    except Interrupted as interrupted:
        return interrupted.status
    except KeyboardInterrupt:  # called by a program that takes Ctrl-C itself
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(printable(f"buildplug: {error.filename or 'output'}: {error.strerror}"), file=sys.stderr)
        return 1
    return status


def _ld(words: list[str]) -> int:
    from buildplug.cli import ld

    return ld.run(words, sys.argv[0])


def _run(words: list[str]) -> int:
    import argparse  # not for ld, whose words are a linker's
    from importlib import import_module

    from buildplug.base.interruption import interruptible

    if not words or words[0] not in COMMANDS:
        parser = argparse.ArgumentParser("buildplug", description="Links a kernel with tables of its own references.")
        parser.add_argument("--version", action="version", version=f"buildplug {__version__}")
        added = parser.add_subparsers(required=True, metavar="COMMAND")
        for name, help in COMMANDS.items():
            added.add_parser(name, help=help)
        parser.parse_args(words)
        parser.error("expected a command first")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start threads that nothing here needs
    name, *words = words
    command = import_module(f"buildplug.cli.{name}")

    def formatter(prog: str) -> argparse.HelpFormatter:
        """argparse makes one for each argument; with a width, it need not import what finds out that of the terminal,
        which takes longer than all else here."""
        wanted = {"-h", "--help"} & set(words)
        return argparse.HelpFormatter(prog) if wanted else argparse.HelpFormatter(prog, width=WIDTH)

    parser = argparse.ArgumentParser(f"buildplug {name}", description=COMMANDS[name], formatter_class=formatter)
    command.arguments(parser)
    # the words behind repro's -- are a command's: argparse would take them for its own
    mark = words.index("--") if name == "repro" and "--" in words else len(words)
    options, rest = parser.parse_known_args(words[:mark])
    if rest:  # where an option stands between them, only this takes the words that come after it
        options, rest = parser.parse_known_intermixed_args(words[:mark])
    if rest:
        unknown = [word for word in rest if word.startswith("-")] or rest
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    options.command = words[mark + 1 :]
    with interruptible():
        command.run(options)
    return 0
