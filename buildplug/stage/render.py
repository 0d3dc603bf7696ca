"""Renders records as text, by the shipped Jinja templates and the user's. Knows no pass and writes no file."""

import re
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from buildplug.arch.model import Arch
from buildplug.base.data import shipped, templates
from buildplug.base.errors import BuildplugError, printable
from buildplug.config.ops import Ops
from buildplug.config.rule import Rule
from buildplug.linker.script import Placed, Placement
from buildplug.stage.compiled import Compiled
from buildplug.tables.binary import DIRECTIVE
from buildplug.tables.format import Contents, Format
from buildplug.tables.registry import every, format_of, template_of

CORRECT = "correct the template"
DIRECTIVES = {f"u{size}": directive for size, directive in DIRECTIVE.items()}  # by numpy type
OPTIONS = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}

Texts = dict[str, str]


def _comment(text: str) -> str:
    """A name, made safe inside an assembly or C comment."""
    return printable(text).replace("*/", "*\\/").replace("/*", "/\\*").replace("\\\n", "")


def _ldname(section: str) -> str:
    """A section's name, quoted for a linker script if needed. Raises BuildplugError if it cannot be quoted."""
    if re.fullmatch(r"[._$a-z][A-Za-z0-9_.$]*", section):  # a number or a keyword such as ALIGN needs quotes
        return section
    if not section.isprintable() or set(section) & set('"\\'):
        raise BuildplugError(f"section {section}", "expected a name that a linker script can say", "rename the section")
    return f'"{section}"'


def _cbytes(data: bytes, width: int) -> str:
    return ", ".join(f"{byte:#04x}" for byte in data.ljust(width, b"\0"))


def _number(code: bytes) -> int:
    """An instruction's word; instructions are little-endian."""
    return int.from_bytes(code, "little")


@cache
def _environment(base: Path | None) -> jinja2.Environment:
    """Templates by name: the user's, relative to `base` if given, override the shipped ones."""
    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader([*([base] if base else []), *sorted(shipped("templates").iterdir())]),
        undefined=jinja2.StrictUndefined,
        bytecode_cache=Compiled(str(OPTIONS)),
        **OPTIONS,
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
    )
    environment.filters |= {"comment": _comment, "ldname": _ldname, "cbytes": _cbytes, "number": _number}
    return environment


def users(rules: Iterable[Rule], base: Path) -> list[Path]:
    """The user's templates for the tables of these rules: named by a rule, overriding a shipped one, or referenced by
    name from another."""
    wanted = [name for rule in rules for name in (template_of(rule), *rule.table.runtime)]
    wanted += [path.name for path in templates()]
    found = set[Path]()
    while wanted:
        path = base / wanted.pop()
        if path in found or not path.is_file():
            continue
        found.add(path)
        try:
            read = meta.find_referenced_templates(_environment(base).parse(path.read_text()))
            wanted += [name for name in read if name]
        except (jinja2.TemplateError, OSError, ValueError):
            pass  # render() reports it
    return sorted(found)


def render(name: str, base: Path | None, **values: Any) -> str:
    """The text of a template. Raises BuildplugError that names the template and its line."""
    try:
        return _environment(base).get_template(name).render(**values)
    except jinja2.TemplateNotFound as error:
        raise BuildplugError(
            name, "expected a template, found none", f"write {(base or Path()) / (error.name or name)}"
        ) from None
    except jinja2.TemplateSyntaxError as error:
        raise BuildplugError(f"{error.filename or name}:{error.lineno}", f"{error.message}", CORRECT) from None
    except BuildplugError:
        raise
    except Exception as error:  # a template may raise anything
        traceback, line = error.__traceback__, 0
        while traceback:
            if traceback.tb_frame.f_code.co_filename.endswith(name):
                line = traceback.tb_lineno
            traceback = traceback.tb_next
        raise BuildplugError(f"{name}:{line}", f"does not render: {error}", CORRECT) from None


def _of_rule(name: str, base: Path, rule: Rule, values: dict[str, Any]) -> str:
    """render() for a rule's template; its BuildplugError names the rule, too."""
    try:
        return render(name, base, **values)
    except BuildplugError as error:
        raise BuildplugError(f"rule {rule.name}", str(error)) from None


def runtime(arch: Arch, base: Path, formats: Iterable[Format] | None = None, *, has_ops: bool = True) -> Texts:
    """The sources that every kernel with tables of these formats compiles in: file name -> text. Default: of all
    formats."""
    wanted = every() if formats is None else formats
    sources = {name: s for format in wanted for name, s in format.runtime(arch, has_ops=has_ops).items()}
    return {name: render(source.template, base, **source.values) for name, source in sources.items()}


def table_files(arch: Arch, rule: Rule, declared: Ops | None, base: Path) -> Texts:
    """The sources that a kernel with this table compiles in, its header and its ops' backends: file name -> text."""
    sources = format_of(rule).sources(rule, arch, declared)
    return {name: _of_rule(source.template, base, rule, source.values) for name, source in sources.items()}


def rust(arch: Arch, rule: Rule, base: Path, declared: Ops | None = None) -> Texts:
    """The modules of a kernel in Rust for this table: file name -> text; empty if its format has none."""
    sources = format_of(rule).rust(rule, arch, declared)
    return {name: _of_rule(source.template, base, rule, source.values) for name, source in sources.items()}


def table(rule: Rule, contents: Contents, slack: int, base: Path, blob: str = "") -> str:
    """The source of a table, assembly or C by its template's name, with `slack` spare bytes.

    `blob`: the path by which the source includes the blob of the contents, if they have one.
    """
    values = contents.context()
    values["anchors"] = [rule.anchor(number) for number in range(len(contents.section_names))]
    if contents.blob is not None:
        digest = sha256(contents.blob).hexdigest()
        values |= {"blob": blob, "blob_digest": digest, "section_names": contents.section_names}
    values |= {"rule": rule, "slack": slack, "directive": DIRECTIVES | {"word": DIRECTIVE[str(contents.arch.word)]}}
    return _of_rule(template_of(rule), base, rule, values)


def placement(rules: list[Rule], placement: Placement, base: Path) -> str:
    """The linker script fragment that adds the tables of `rules`, and their places if they have any."""
    groups: dict[str, list[Placed]] = {}
    for place in placement.tables:
        groups.setdefault(_ldname(place.after), []).append(place)
    return render("tables.lds.j2", base, rules=rules, groups=groups, memory=placement.memory)


def anchors(tables: list[tuple[Rule, Contents]], base: Path, template: str = "anchors.lds.j2") -> str:
    """The linker script that defines the addresses of the sections that tables name; or, by another template, its
    assembly equivalent."""
    named = [(r.anchor(number), name) for r, contents in tables for number, name in enumerate(contents.section_names)]
    return render(template, base, anchors=named, rule=tables[0][0])
