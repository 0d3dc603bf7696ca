"""Records -> text, by the Jinja templates that ship and those of the user. Knows no pass and writes no file."""

import re
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta

from buildplug.arch.field import FIELDS
from buildplug.arch.model import Arch
from buildplug.backends import cache_lines
from buildplug.base.data import shipped, templates
from buildplug.base.errors import BuildplugError, printable
from buildplug.config.ops import Ops
from buildplug.config.rule import Rule
from buildplug.linker.script import Placed, Placement
from buildplug.tables import ksyms_format, relocs
from buildplug.tables import sites_format as table_module
from buildplug.tables.packed import Packed
from buildplug.tables.registry import Contents

CTYPE = {f"{sign}{size}": f"{'u' * (sign == 'u')}int{8 * size}_t" for sign in "ui" for size in (1, 2, 4, 8)}
DIRECTIVE = {"u2": ".short", "u4": ".long"}
WORD = {4: ".long", 8: ".quad"}
CORRECT = "correct the template"

RUNTIME = {  # by the format that needs it
    "sites": ("buildplug.h", "fixup.c", "live.h", "live.c"),
    "ksyms": ("ksyms.h", "ksyms.c"),
    "relocs": ("relocs.h", "relocs.c"),
}


def _comment(text: str) -> str:
    """A name, safe inside an assembler's or a C comment."""
    return printable(text).replace("*/", "*\\/").replace("/*", "/\\*").replace("\\\n", "")


def _ldname(section: str) -> str:
    """A section's name as the linker script language takes it. Raises BuildplugError if it cannot."""
    if re.fullmatch(r"[._$a-z][A-Za-z0-9_.$]*", section):  # else quoted: a number, or a word such as ALIGN
        return section
    if not section.isprintable() or set(section) & set('"\\'):
        raise BuildplugError(f"section {section}", "expected a name that a linker script can say", "rename the section")
    return f'"{section}"'


def _cbytes(data: bytes, width: int) -> str:
    return ", ".join(f"{byte:#04x}" for byte in data.ljust(width, b"\0"))


@cache
def _environment(base: Path | None) -> jinja2.Environment:
    """Templates by name: the user's, if there is a `base` that they are relative to, before those that ship."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*([base] if base else []), *sorted(shipped("templates").iterdir())]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
    )
    environment.filters |= {"comment": _comment, "ldname": _ldname, "cbytes": _cbytes}
    return environment


def users(rules: Iterable[Rule], base: Path) -> list[Path]:
    """The templates of the user's that the tables of these rules are rendered by: those that the rules name, those in
    the place of ones that ship, and what they refer to by name."""
    wanted = [name for rule in rules for name in (rule.template, *rule.table.runtime)]
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
            pass  # render() tells
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
    except Exception as error:  # a template may do anything
        traceback, line = error.__traceback__, 0
        while traceback:
            if traceback.tb_frame.f_code.co_filename.endswith(name):
                line = traceback.tb_lineno
            traceback = traceback.tb_next
        raise BuildplugError(f"{name}:{line}", f"does not render: {error}", CORRECT) from None


def _of_rule(name: str, base: Path, rule: Rule, **values: Any) -> str:
    """The text of a template that a rule names. Raises BuildplugError that names the rule, too."""
    try:
        return render(name, base, rule=rule, **values)
    except BuildplugError as error:
        raise BuildplugError(f"rule {rule.name}", str(error)) from None


def runtime(arch: Arch, base: Path) -> dict[str, str]:
    """File name -> text of what every kernel compiles in."""
    values = {
        "arch": arch,
        "table": table_module,
        "ctype": CTYPE,
        "fields": list(dict.fromkeys(form.field for form in arch.forms)),
        "whole_fields": FIELDS[: 1 << relocs.ENCODING_BITS],
        "longest": max(form.length for form in arch.forms),
    }
    values |= {"ksyms": ksyms_format, "relocs": relocs}
    return {name: render(f"{name}.j2", base, **values) for names in RUNTIME.values() for name in names}


def table_files(arch: Arch, rule: Rule, declared: Ops | None, base: Path) -> dict[str, str]:
    """File name -> text of what a kernel with this table compiles in: its header, and the backends of its ops."""
    if rule.format in ("ksyms", "relocs"):
        return {f"{rule.symbol}.h": render("packed.h.j2", base, rule=rule)}
    if rule.format == "rows":
        ctype = CTYPE | {"string": "int32_t"}
        named = {f"{rule.symbol}{Path(Path(name).stem).suffix}": name for name in ("rows.h.j2", *rule.table.runtime)}
        return {
            file: _of_rule(name, base, rule, arch=arch, ctype=ctype, word=WORD[arch.word])
            for file, name in named.items()
        }
    files = {f"{rule.symbol}.h": render("tables.h.j2", base, rule=rule, backends=declared.backends if declared else {})}
    if declared:
        values = {"arch": arch, "rule": rule, "table": table_module, "ops": declared.ops, "backends": declared.backends}
        values["copies"] = {backend: cache_lines.copies(declared, backend) for backend in declared.backends}
        values["kept"] = {name: cache_lines.kept(arch, op) for name, op in declared.ops.items()}
        files[f"{rule.symbol}_backends.S"] = render("backends.S.j2", base, **values)
    return files


def table(rule: Rule, contents: Contents, slack: int, base: Path, blob: str = "") -> str:
    """The text of a table, for the assembler or the compiler by its template's name; with `slack` bytes of room.

    `blob`: the path by which the assembler finds what blob_of() has, if there is any.
    """
    values = contents.context()
    values["anchors"] = [rule.anchor(number) for number in range(len(contents.section_names))]
    data = blob_of(contents)
    if data is not None:
        values |= {"blob": blob, "blob_digest": sha256(data).hexdigest(), "section_names": contents.section_names}
    directive = DIRECTIVE | {"word": WORD[contents.arch.word]}
    return _of_rule(rule.template, base, rule, **values, slack=slack, directive=directive)


def blob_of(contents: Contents) -> bytes | None:
    """The part of a table that goes in as a file of bytes; None if its text has all."""
    return contents.data[: contents.before_bases] if isinstance(contents, Packed) else None


def placement(rules: list[Rule], placement: Placement, base: Path) -> str:
    """The linker script fragment that brings the tables of `rules` in, and says their places if they have any."""
    groups: dict[str, list[Placed]] = {}
    for place in placement.tables:
        groups.setdefault(_ldname(place.after), []).append(place)
    return render("tables.lds.j2", base, rules=rules, groups=groups, memory=placement.memory)


def anchors(tables: list[tuple[Rule, Contents]], base: Path, template: str = "anchors.lds.j2") -> str:
    """The linker script that gives the addresses of the sections which tables name, or by its template what else
    stands for it."""
    named = [(r.anchor(number), name) for r, contents in tables for number, name in enumerate(contents.section_names)]
    return render(template, base, anchors=named, rule=tables[0][0])
