"""buildplug kbuild"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from buildplug.linux import kbuild


def arguments(parser: ArgumentParser) -> None:
    parser.description = (
        "Patches the tree (a line of scripts/link-vmlinux.sh), runs make there, and takes the patch out, also after an "
        "error. kallsyms then takes a draft and one relink; the kernel's code that uses it is as it was. Or in three "
        "steps: --apply, your make, --revert, which also mends what a killed build left."
    )
    parser.add_argument("--paravirt", action="store_true", help="make .parainstructions, too, from relocations")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--apply", action="store_true", help="only patch the tree")
    action.add_argument("--revert", action="store_true", help="only take the patch out")
    parser.add_argument("tree", type=Path, help="the folder of Linux's sources, configured")
    parser.add_argument("make", nargs="*", help="make's arguments, behind --; default: bzImage")


def run(options: Namespace) -> None:
    if options.revert:
        kbuild.revert(options.tree)
    elif options.apply:
        kbuild.apply(options.tree, paravirt=options.paravirt)
    else:
        kbuild.build(options.tree, options.make or ["bzImage"], paravirt=options.paravirt)
