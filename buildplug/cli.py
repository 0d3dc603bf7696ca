"""The command line: the only place that prints an error and exits. Imports what a command needs when it runs."""

import argparse
import gc
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildplug import __version__
from buildplug.errors import BuildplugError, printable

if TYPE_CHECKING:
    from buildplug.elf import Image
    from buildplug.rules import Rule

RULES = {  # build system -> what of rules/ it takes
    "cmake": "",  # the folder that find_package() looks into
    "doit": "dodo.py",
    "make": "buildplug.mk",
    "meson": "meson.build",
    "ninja": "buildplug.ninja",
}


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="buildplug", description="Links a kernel with tables of its own references.")
    parser.add_argument("--version", action="version", version=f"buildplug {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(run=run)
        return sub

    sub = command("build", _build, "compile, link, extract, relink once, verify")
    sub.add_argument("config", nargs="?", type=Path, default=Path("buildplug.toml"), help="default: buildplug.toml")
    sub.add_argument("--build-dir", type=Path, metavar="DIR", help="in place of the configuration's")
    sub.add_argument("--explain", action="store_true", help="say of each pass why it runs or not")
    sub.add_argument("--json", action="store_true", help="print the record of the build")
    sub.add_argument(
        "--provenance", nargs="?", const="", metavar="FILE",
        help="write what went into the image, unsigned; default: IMAGE.provenance.json in the build directory",
    )  # fmt: skip

    sub = command(
        "report", _report, "show what builds and rebuilds did: a summary, JSON, or a page without network or script"
    )
    sub.add_argument(
        "input", nargs="*", type=Path, default=[Path("buildplug.toml")],
        help="a configuration, the record of its build, or what repro --json printed; default: buildplug.toml",
    )  # fmt: skip
    sub.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the page")
    sub.add_argument("--json", action="store_true", help="a list with one object for each input")

    sub = command("extract", _extract, "print the references, relocations or records of an image that a rule selects")
    sub.add_argument("image", type=Path, help="linked with --emit-relocs")
    sub.add_argument("--rule", required=True, help="name of a rule that ships, or a TOML file")
    sub.add_argument("--json", action="store_true", help="one object: entries, left")

    sub = command(
        "verify", _verify, "prove the tables of a final link true, and that only they are new since the draft"
    )
    sub.add_argument("draft", type=Path)
    sub.add_argument("final", type=Path)
    sub.add_argument("--rule", action="append", default=[], help="of a table, beside those of the rules that ship")
    sub.add_argument("--json", action="store_true", help="one object: tables, moved, changed, sections")

    sub = command("apply", _apply, "write the image as it is in memory after the boot-time fixup")
    sub.add_argument("image", type=Path)
    sub.add_argument("--backend", required=True, help="name in the ops file")
    sub.add_argument("--rule", default="paravirt", help="whose table; default: paravirt")
    sub.add_argument("-o", "--output", type=Path, required=True)

    sub = command("ksyms", _ksyms, "look up addresses and names in an image's symbols, or list them")
    sub.add_argument("image", type=Path)
    sub.add_argument("query", nargs="*", help="an address (0x...) or a name")
    sub.add_argument("--rule", help="which symbols; default: ksyms, or linux-kallsyms for that format")
    formats = ["nm", "system-map", "json", "kallsyms"]
    sub.add_argument("--format", choices=formats, default="nm", help="of the list without a query; the last: assembly")

    sub = command("kbuild", _kbuild, "build Linux 6.1 with our link stage in place of its own")
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

    sub = command("repro", _repro, "build again in varied surroundings, compare bit for bit, and say what differs why")
    sub.usage = "buildplug repro [options] [PROJECT] [-- COMMAND...]"
    sub.add_argument("project", nargs="?", type=Path, default=Path(), help="configuration or folder; default: here")
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

    sub = command("rules", _rules, "list the rules that ship, show one, or check a file of your own")
    sub.add_argument("action", choices=["list", "show", "check"], nargs="?", default="list")
    sub.add_argument("rule", nargs="?", help="name of a rule that ships, or a TOML file")
    sub.add_argument("--json", action="store_true")

    sub = command("runtime", _runtime, "write the C, assembly and headers that the tables need, and name the files")
    sub.add_argument("folder", type=Path)
    sub.add_argument("--config", type=Path, default=Path("buildplug.toml"), help="default: buildplug.toml")
    sub.add_argument("--depfile", type=Path, help="write what the files and tables are made from, for make and ninja")

    sub = command("new", _new, "make a kernel that builds and boots")
    sub.add_argument("folder", type=Path)

    sub = command("doctor", _doctor, "say which tools are missing or too old, and what mends it")
    sub.add_argument("config", nargs="?", type=Path, help="whose toolchain; default: buildplug.toml, if there is one")
    sub.add_argument("--json", action="store_true", help="a list of findings")

    sub = command("path", _path, "print where the rules for a build system are")
    sub.add_argument("system", choices=sorted(RULES))
    return parser


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))


def _build(options: argparse.Namespace) -> None:
    from buildplug.build import build
    from buildplug.pipeline import PASSES

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

            path = build(options.config, options.build_dir, told, started)
    else:
        path = build(options.config, options.build_dir, told)
    if options.provenance is not None:
        from buildplug import config, provenance

        wanted = config.read(options.config, options.build_dir)
        output = Path(options.provenance or wanted.build / f"{wanted.kernel.name}.provenance.json")
        provenance.write(output, provenance.statement(wanted, json.loads(path.read_text())))
    if options.json:
        sys.stdout.write(path.read_text())


def _report(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from buildplug import files, report

    reports = [report.read(path) for path in options.input]
    if options.output:
        files.write(options.output, report.html(reports))
    if options.json:
        _print_json([asdict(one) for one in reports])
    elif not options.output:
        print("\n\n".join(map(report.summary, reports)))


def _extract(options: argparse.Namespace) -> None:
    from buildplug.columns import columns_of
    from buildplug.elf import Image
    from buildplug.rules import find

    image, rule = Image(options.image), find(options.rule, Path.cwd())
    if rule.select.rows == "records":
        _print_rows(columns_of(image, rule)[0], rule.holds, options.json)
        return
    entries, left = (_relocations if rule.select.rows == "relocations" else _references)(image, rule)
    if options.json:
        print(json.dumps({"entries": entries, "left": left}))  # in one piece: indentation is slow
        return
    for entry in entries:
        where = f"{entry['address']:#x} {printable(entry['section'])}+{entry['offset']:#x}"
        print(f"{where} {entry['kind']} {entry['length']} {printable(entry['symbol'])}{entry['addend']:+#x}")
    for kind, count in left.items():
        print(f"left alone: {count} {kind}")


def _references(image: "Image", rule: "Rule") -> tuple[list[dict[str, Any]], dict[str, int]]:
    from buildplug.arch import KINDS
    from buildplug.references import extract

    found = extract(image, rule)
    entries: list[dict[str, Any]] = []
    for row in found.rows.tolist():
        section, form = image.sections[row[0]], image.arch.forms[row[2]]
        entries.append({
            "section": section.name, "offset": row[1], "address": section.address + row[1], "kind": KINDS[form.kind],
            "length": form.length, "symbol": found.targets[row[3]].name, "addend": row[5],
        })  # fmt: skip
    return entries, found.left


def _relocations(image: "Image", rule: "Rule") -> tuple[list[dict[str, Any]], dict[str, int]]:
    from buildplug.arch import ENCODINGS, WIDTH
    from buildplug.relocations import fields, places

    found = fields(image, rule)
    entries: list[dict[str, Any]] = []
    for address, row in zip(places(image, rule, found).tolist(), found.tolist(), strict=True):
        entries.append({
            "section": image.sections[row[0]].name, "offset": row[1], "address": address, "kind": ENCODINGS[row[2]],
            "length": WIDTH[row[2]], "symbol": image.name_of(row[4]), "addend": row[5],
        })  # fmt: skip
    return entries, {}


def _print_rows(columns: dict[str, Any], holds: dict[str, str], as_json: bool) -> None:
    """Rows of a table, by the columns of their values."""
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]
    if as_json:
        print(json.dumps({"rows": rows}))
    for row in () if as_json else rows:
        shown = [f"{name}={value:#x}" if holds[name] == "address" else f"{name}={value}" for name, value in row.items()]
        print(printable(" ".join(shown)))


def _verify(options: argparse.Namespace) -> None:
    from buildplug.elf import Image
    from buildplug.rules import find, shipped
    from buildplug.verify import verify

    draft, final = Image(options.draft), Image(options.final)
    ours = [find(path.stem, Path.cwd()) for path in sorted(shipped("rules").glob("*.toml"))]
    theirs = [find(name, Path.cwd()) for name in options.rule]
    rules = theirs + [rule for rule in ours if rule.symbol in final.names and rule not in theirs]
    if not rules:
        raise final.bad("expected a table of a rule that ships, found none", "name its --rule")
    proof = verify(draft, final, [(rule, None) for rule in rules])
    wrong = [f"table {t.rule.symbol}: {line}" for t in proof.tables for line in t.differences]
    if options.json:
        tables = {t.rule.name: {"rows": len(t.truth), "differences": list(t.differences)} for t in proof.tables}
        _print_json({"tables": tables, "moved": proof.moved, "changed": proof.changed, "sections": proof.sections})
    for line in proof.moved:
        print(f"buildplug: moved by the relink: {line}", file=sys.stderr)
    if wrong or proof.changed:
        raise final.bad(
            f"expected the draft plus true tables, found {'; '.join([*wrong, *proof.changed])}", "build it again"
        )


def _ld(options: argparse.Namespace) -> None:
    from buildplug import ld

    status = ld.main(options.words, sys.argv[0])
    if status:
        sys.exit(status)


def _apply(options: argparse.Namespace) -> None:
    from buildplug.elf import Image
    from buildplug.fixup import apply
    from buildplug.rules import find

    symbol = find(options.rule, Path.cwd()).symbol
    apply(Image(options.image), symbol, f"{symbol}_{options.backend}", options.output)


def _kbuild(options: argparse.Namespace) -> None:
    from buildplug import kbuild

    if options.revert:
        kbuild.revert(options.tree)
    elif options.apply:
        kbuild.apply(options.tree, paravirt=options.paravirt)
    else:
        kbuild.build(options.tree, options.make or ["bzImage"], paravirt=options.paravirt)


def _repro(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from buildplug import provenance, rebuilds, repro, workshop
    from buildplug.toolchain import run

    if options.against:
        _against(options)
        return
    wanted = workshop.project(options.project, options.command, options.output)
    if options.diffoscope and not shutil.which("diffoscope"):
        raise BuildplugError("diffoscope", "is not installed", "install it, or leave out --diffoscope")
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(file=sys.stderr).status("") as status:
            result = repro.repro(wanted, options.vary, lambda what: status.update(f"build: {what}"))
    else:
        result = repro.repro(wanted, options.vary)
    if options.json:
        _print_json(asdict(result) | {"reproducible": result.reproducible})
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

    from buildplug import against, files, provenance

    if options.command or options.vary or options.output or options.diffoscope:
        raise BuildplugError("repro", "expected --against RECORD without other options", status=2)
    rebuilt = against.rebuild(options.against, options.project)
    if options.json:
        _print_json(asdict(rebuilt) | {"reproducible": rebuilt.reproducible})
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


def _rules(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from buildplug.rules import find, shipped

    if options.action == "list":
        if options.rule is not None:
            raise BuildplugError("rules", f"list: expected nothing behind it, found {options.rule}", status=2)
        rules = [find(path.stem, Path.cwd()) for path in sorted(shipped("rules").glob("*.toml"))]
        if options.json:
            _print_json({rule.name: asdict(rule) for rule in rules})
        for rule in () if options.json else rules:
            print(f"{rule.name}: {rule.about}")
        return
    if options.rule is None:
        raise BuildplugError("rules", f"{options.action}: expected the name of a rule, found none", status=2)
    rule = find(options.rule, Path.cwd())
    if options.action == "show" and options.json:
        _print_json(asdict(rule))
    elif options.action == "show":
        where = f"section {rule.section}, flags {rule.table.flags}, template {rule.template}"
        print(f"{rule.name}: {rule.about}\ntable {rule.symbol} in {where}")
        for key, value in (asdict(rule.select) | {"sort": rule.table.sort, "runtime": rule.table.runtime}).items():
            if value and key != "members":
                words = (value,) if isinstance(value, str) else ("yes",) if value is True else value
                print(f"{key}: {' '.join(map(str, words))}")
        for member in rule.select.members:
            print(f"member {member.name}: {member.type}, {member.holds}, base {member.base}")
        for field in rule.table.fields:
            print(f"field {field.name}: {field.type}, {field.value}: {rule.values[field.value]}")


def _ksyms(options: argparse.Namespace) -> None:
    from buildplug import ksyms
    from buildplug.elf import Image
    from buildplug.rules import find
    from buildplug.symbol_table import collected

    image = Image(options.image)
    if options.format == "kallsyms" and not options.query:
        _kallsyms(image, find(options.rule or "linux-kallsyms", Path.cwd()))
        return
    table = collected(image, find(options.rule or "ksyms", Path.cwd()), 0)
    for query in options.query:
        if query.startswith("0x"):
            found = [ksyms.format_address(table, 0, _address(query))]
        else:
            found = [b"%#x %s" % (s.address, s.type.encode()) for s in ksyms.lookup(table, 0, os.fsencode(query))]
        if not found:
            raise image.bad(f"expected a symbol {query}, found none", "list them without a query")
        for line in found:
            print(printable(line.decode(errors="backslashreplace")))
    if options.query:
        return
    symbols = [ksyms.symbol(table, 0, index) for index in range(len(table.rows))]
    symbols.sort(key=lambda symbol: (symbol.address, symbol.name))
    rows = [(s.address, s.size, s.type, s.name.decode(errors="backslashreplace")) for s in symbols]
    if options.format == "json":
        _print_json([{"address": a, "size": size, "type": kind, "name": name} for a, size, kind, name in rows])
        return
    digits = image.arch.bits // 4
    for address, size, kind, name in rows:
        extent = f" {size:0{digits}x}" if size and options.format == "nm" else ""
        print(f"{address:0{digits}x}{extent} {kind} {printable(name)}")


def _kallsyms(image: "Image", rule: "Rule") -> None:
    from buildplug.linux_kallsyms import assembly
    from buildplug.render import render
    from buildplug.symbol_table import kallsyms_of

    text = image.address_of("_text")
    if text is None:
        raise image.bad("expected the symbol _text, found none", "define it where the kernel starts")
    sys.stdout.write(render("kallsyms.S.j2", Path.cwd(), **assembly(kallsyms_of(image, rule), text)))


def _address(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        raise BuildplugError("ksyms", f"expected an address, found {text!r}", status=2) from None


def _runtime(options: argparse.Namespace) -> None:
    from buildplug import runtime
    from buildplug.config import read
    from buildplug.files import write

    config = read(options.config)
    made = runtime.write(config, options.folder)
    if options.depfile:
        write(options.depfile, runtime.depfile(made, config))
    for path in made:
        print(path)


def _new(options: argparse.Namespace) -> None:
    import shlex

    from buildplug import new

    made = new.create(options.folder)
    folder = shlex.quote(str(options.folder))
    print(
        f"{len(made)} files; build and boot them with\n  buildplug build {folder}\n  {new.BOOT} {folder}/build/vmlinux"
    )


def _doctor(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from buildplug.doctor import examine

    path = options.config or (Path("buildplug.toml") if Path("buildplug.toml").exists() else None)
    findings = examine(path)
    if options.json:
        _print_json([asdict(finding) for finding in findings])
    for finding in () if options.json else findings:
        state = "ok" if not finding.problem else "bad" if finding.needed else "optional"
        said = "; ".join(filter(None, (finding.found, finding.problem, finding.remedy)))
        print(f"{state:9}{finding.tool} ({finding.use}): {printable(said)}")
    wrong = [finding for finding in findings if finding.problem and finding.needed]
    if wrong:
        names = ", ".join(finding.tool for finding in wrong)
        raise BuildplugError("doctor", f"{names} will not do", "; ".join(f.remedy for f in wrong))


def _path(options: argparse.Namespace) -> None:
    from buildplug.rules import shipped

    print(shipped("rules") / RULES[options.system])
