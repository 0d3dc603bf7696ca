"""What the commands do, but for those that list an image. They import what they need when they run."""

import argparse
import json
import shutil
import sys
from pathlib import Path

from buildplug.base.errors import BuildplugError, printable
from buildplug.cli.listing import print_json

RULES = {  # build system -> what of rules/ it takes
    "cmake": "",  # the folder that find_package() looks into
    "doit": "dodo.py",
    "make": "buildplug.mk",
    "meson": "meson.build",
    "ninja": "buildplug.ninja",
}


def build(options: argparse.Namespace) -> None:
    from buildplug.pipeline.doit_tasks import PASSES
    from buildplug.pipeline.run import build

    def explain(name: str, what: str) -> None:
        print(f"{name}: {what}", file=sys.stderr)

    told = explain if options.explain else None
    if sys.stderr.isatty() and not options.explain:
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(file=sys.stderr), transient=True) as progress:
            bar = progress.add_task("", total=len(PASSES))

            def started(name: str, what: str) -> None:
                progress.update(bar, description=name, completed=PASSES.index(name))

            path = build(options.config, options.build_dir, told, started, options.arch)
    else:
        path = build(options.config, options.build_dir, told, arch=options.arch)
    if options.provenance is not None:
        from buildplug.config import project
        from buildplug.record import provenance

        wanted = project.read(options.config, options.build_dir, options.arch)
        output = Path(options.provenance or wanted.build / f"{wanted.kernel.name}.provenance.json")
        provenance.write(output, provenance.statement(wanted, json.loads(path.read_text())))
    if options.json:
        sys.stdout.write(path.read_text())


def report(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from buildplug.base import files
    from buildplug.record import report

    reports = [report.read(path, options.arch) for path in options.input]
    if options.output:
        files.write(options.output, report.html(reports))
    if options.json:
        print_json([asdict(one) for one in reports])
    elif not options.output:
        print("\n\n".join(map(report.summary, reports)))


def verify(options: argparse.Namespace) -> None:
    from buildplug.config.rule import find, find_shipped
    from buildplug.image.elf import Image
    from buildplug.stage.proof import verify

    draft, final = Image(options.draft), Image(options.final)
    ours = find_shipped()
    theirs = [find(name, Path.cwd()) for name in options.rule]
    rules = theirs + [rule for rule in ours if rule.symbol in final.names and rule not in theirs]
    if not rules:
        raise final.bad("expected a table of a rule that ships, found none", "name its --rule")
    proof = verify(draft, final, [(rule, None) for rule in rules])
    wrong = [f"table {t.rule.symbol}: {line}" for t in proof.tables for line in t.differences]
    if options.json:
        tables = {t.rule.name: {"rows": len(t.truth), "differences": list(t.differences)} for t in proof.tables}
        print_json({"tables": tables, "moved": proof.moved, "changed": proof.changed, "sections": proof.sections})
    for line in proof.moved:
        print(f"buildplug: moved by the relink: {line}", file=sys.stderr)
    if wrong or proof.changed:
        raise final.bad(
            f"expected the draft plus true tables, found {'; '.join([*wrong, *proof.changed])}", "build it again"
        )


def apply(options: argparse.Namespace) -> None:
    from buildplug.config.rule import find
    from buildplug.image.elf import Image
    from buildplug.runtime.fixup import apply

    symbol = find(options.rule, Path.cwd()).symbol
    apply(Image(options.image), symbol, f"{symbol}_{options.backend}", options.output)


def kbuild(options: argparse.Namespace) -> None:
    from buildplug.linux import kbuild

    if options.revert:
        kbuild.revert(options.tree)
    elif options.apply:
        kbuild.apply(options.tree, paravirt=options.paravirt)
    else:
        kbuild.build(options.tree, options.make or ["bzImage"], paravirt=options.paravirt)


def repro(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from buildplug.base.process import run
    from buildplug.record import provenance, rebuilds
    from buildplug.repro import comparison, workshop

    if options.against:
        _against(options)
        return
    wanted = workshop.project(options.project, options.command, options.output, options.arch)
    if options.diffoscope and not shutil.which("diffoscope"):
        raise BuildplugError("diffoscope", "is not installed", "install it, or leave out --diffoscope")
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(file=sys.stderr).status("") as status:
            result = comparison.repro(wanted, options.vary, lambda what: status.update(f"build: {what}"))
    else:
        result = comparison.repro(wanted, options.vary)
    if options.json:
        print_json(asdict(result) | {"reproducible": result.reproducible})
    else:
        sys.stdout.writelines(f"{line}\n" for line in rebuilds.summary(result))
    if options.statement:
        provenance.write(options.statement, provenance.comparison(result.outputs, {}, result.tests))
    sys.stdout.flush()
    for blame in result.blame if options.diffoscope else ():
        trees = [Path(result.kept[build]) / blame.output for build in ("control", blame.build)]
        print(run(["diffoscope", *trees], Path.cwd(), "compare", statuses=(0, 1)).output, end="", flush=True)
    if not result.reproducible:
        outputs = ", ".join(dict.fromkeys(blame.output for blame in result.blame))
        raise BuildplugError(outputs, "expected the same bytes from every build", "see what they differ by, above")


def _against(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from buildplug.base import files
    from buildplug.record import provenance
    from buildplug.repro import against

    if options.command or options.vary or options.output or options.arch or options.diffoscope:
        raise BuildplugError("repro", "expected --against RECORD without other options", status=2)
    rebuilt = against.rebuild(options.against, options.project)
    if options.json:
        print_json(asdict(rebuilt) | {"reproducible": rebuilt.reproducible})
    else:
        sys.stdout.writelines(f"{line}\n" for line in against.report(rebuilt))
    if options.statement:
        said = {options.against.name: files.digest(options.against)}
        done = {"rebuild as recorded": rebuilt.reproducible}
        provenance.write(options.statement, provenance.comparison(rebuilt.recorded, said, done))
    if rebuilt.outputs:
        raise BuildplugError(
            ", ".join(difference.what for difference in rebuilt.outputs), "expected what the record says, found others",
            "; ".join(map(str, rebuilt.others)) or "its inputs and tools are those of the record: see buildplug repro",
        )  # fmt: skip


def rules(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from buildplug.config.rule import find, find_shipped
    from buildplug.tables.registry import template_of

    if options.action == "list":
        if options.rule is not None:
            raise BuildplugError("rules", f"list: expected nothing behind it, found {options.rule}", status=2)
        rules = find_shipped()
        if options.json:
            print_json({rule.name: asdict(rule) for rule in rules})
        for rule in () if options.json else rules:
            print(f"{rule.name}: {rule.about}")
        return
    if options.rule is None:
        raise BuildplugError("rules", f"{options.action}: expected the name of a rule, found none", status=2)
    rule = find(options.rule, Path.cwd())
    template = template_of(rule)
    if options.action == "show" and options.json:
        print_json(asdict(rule))
    elif options.action == "show":
        where = f"section {rule.section}, flags {rule.table.flags}, template {template}"
        print(f"{rule.name}: {rule.about}\ntable {rule.symbol} in {where}")
        for key, value in (asdict(rule.select) | {"sort": rule.table.sort, "runtime": rule.table.runtime}).items():
            if value and key != "members":
                words = (value,) if isinstance(value, str) else ("yes",) if value is True else value
                print(f"{key}: {' '.join(map(str, words))}")
        for member in rule.select.members:
            print(f"member {member.name}: {member.type}, {member.holds}, base {member.base}")
        for field in rule.table.fields:
            print(f"field {field.name}: {field.type}, {field.value}: {rule.values[field.value]}")


def runtime(options: argparse.Namespace) -> None:
    from buildplug.base.files import write
    from buildplug.config.project import read
    from buildplug.stage import sources

    config = read(options.config, arch=options.arch)
    made = sources.write(config, options.folder)
    if options.depfile:
        write(options.depfile, sources.depfile(made, config))
    for path in made:
        print(path)


def new(options: argparse.Namespace) -> None:
    import shlex

    from buildplug.cli import new

    made = new.create(options.folder)
    folder = shlex.quote(str(options.folder))
    print(
        f"{len(made)} files; build and boot them with\n  buildplug build {folder}\n  {new.BOOT} {folder}/build/vmlinux"
    )


def doctor(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from buildplug.cli.doctor import examine

    path = options.config or (Path("buildplug.toml") if Path("buildplug.toml").exists() else None)
    findings = examine(path, options.arch)
    if options.json:
        print_json([asdict(finding) for finding in findings])
    for finding in () if options.json else findings:
        state = "ok" if not finding.problem else "bad" if finding.needed else "optional"
        said = "; ".join(filter(None, (finding.found, finding.problem, finding.remedy)))
        print(f"{state:9}{finding.tool} ({finding.use}): {printable(said)}")
    wrong = [finding for finding in findings if finding.problem and finding.needed]
    if wrong:
        names = ", ".join(finding.tool for finding in wrong)
        raise BuildplugError("doctor", f"{names} will not do", "; ".join(f.remedy for f in wrong))


def path(options: argparse.Namespace) -> None:
    from buildplug.base.data import build_system

    print(build_system(RULES[options.system]))
