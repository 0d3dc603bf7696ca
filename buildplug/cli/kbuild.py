"""buildplug kbuild"""

from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

from buildplug.base.supervisor import supervise
from buildplug.linux import kbuild


def arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Runs make in the tree and has it link with our stage; with --paravirt two headers are patched meanwhile. "
        "kallsyms then needs one link, with BTF two; the kernel's code that reads it is unchanged. Or in three steps: "
        "--apply (one line of scripts/link-vmlinux.sh), your make, --revert, which also cleans up after a killed build."
    )
    parser.add_argument(
        "--paravirt", action="store_true", help="also make the list of paravirt sites, from relocations"
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--apply", action="store_true", help="only patch the tree")
    action.add_argument(
        "--revert", action="store_true", help="only revert the patch, and remove what killed builds have left"
    )
    parser.add_argument("tree", type=Path, help="the folder of Linux's sources, or of O=, configured")
    parser.add_argument("make", nargs="*", help="make's arguments, after --; default: bzImage")


def run(options: Namespace) -> None:
    if options.revert:
        with kbuild.alone(options.tree):
            kbuild.revert(options.tree, arguments=options.make)
    elif options.apply:
        with kbuild.alone(options.tree):
            kbuild.apply(options.tree, options.make, paravirt=options.paravirt)
    else:
        supervise(partial(kbuild.revert, options.tree, arguments=options.make))
        kbuild.build(options.tree, options.make or ["bzImage"], paravirt=options.paravirt)
