"""buildplug verify"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from buildplug.cli.shared import print_json
from buildplug.config import project
from buildplug.config.rule import find, find_shipped
from buildplug.image import build_id
from buildplug.image.elf import Image
from buildplug.stage.proof import verify


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("draft", type=Path)
    parser.add_argument("final", type=Path)
    parser.add_argument("--rule", action="append", default=[], help="of a table, beside those of the rules that ship")
    parser.add_argument("--config", type=Path, help="whose tables they are, where it adjusts the rules that ship")
    parser.add_argument("--json", action="store_true", help="one object: tables, moved, changed, sections, unproved")


def run(options: Namespace) -> None:
    draft, final = Image(options.draft), Image(options.final)
    named = [find(name, Path.cwd()) for name in options.rule]
    named += [table.rule for table in project.read(options.config).tables] if options.config else []
    known = {rule.symbol for rule in named}
    rules = named + [rule for rule in find_shipped() if rule.symbol in final.names and rule.symbol not in known]
    if not rules:
        raise final.bad("expected a table of a rule that ships, found none", "name its --rule")
    proof = verify(draft, final, [(rule, None) for rule in rules])
    wrong = [] if build_id.is_kept(draft, final) else ["a build-id that is not of its bytes"]
    wrong += [f"table {t.rule.symbol}: {line}" for t in proof.tables for line in t.differences]
    if options.json:
        tables = {t.rule.name: {"rows": len(t.truth), "differences": list(t.differences)} for t in proof.tables}
        found = {"tables": tables, "moved": proof.moved, "changed": proof.changed, "sections": proof.sections}
        print_json(found | {"unproved": proof.unproved})
    for line in proof.moved:
        print(f"buildplug: moved by the relink: {line}", file=sys.stderr)
    for line in proof.unproved:
        print(f"buildplug: made by the linker, and not proved: {line}", file=sys.stderr)
    if wrong or proof.changed:
        raise final.bad(
            f"expected the draft plus true tables, found {'; '.join([*wrong, *proof.changed])}", "build it again"
        )
