"""Renders records as text, by the shipped Jinja templates and the user's. Knows no pass and writes no file."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildplug.arch.model import Arch
from buildplug.base.data import templates
from buildplug.base.errors import BuildplugError
from buildplug.config.ops import Ops
from buildplug.config.rule import Rule
from buildplug.tables.integers import DIRECTIVE
from buildplug.tables.registry import every, format_of, template_of

if TYPE_CHECKING:
    from buildplug.tables.format import Contents, Format

DIRECTIVES = {f"u{size}": directive for size, directive in DIRECTIVE.items()}  # by numpy type

Texts = dict[str, str]


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
        from buildplug.stage import templating  # lazy: see render()

        wanted += templating.references(path, base)
    return sorted(found)


def render(name: str, base: Path | None, **values: Any) -> str:
    """The text of a template. Raises BuildplugError that names the template and its line."""
    from buildplug.stage import templating  # lazy: jinja2 is slow to import, and most links render nothing

    return templating.render(name, base, **values)


def _of_rule(name: str, base: Path, rule: Rule, values: dict[str, Any]) -> str:
    """render() for a rule's template; its BuildplugError names the rule, too."""
    try:
        return render(name, base, **values)
    except BuildplugError as error:
        raise BuildplugError(f"rule {rule.name}", str(error)) from None


def runtime(arch: Arch, base: Path, formats: "Iterable[Format] | None" = None, *, has_ops: bool = True) -> Texts:
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


def table(rule: Rule, contents: "Contents", slack: int, base: Path, blob: str = "") -> str:
    """The source of a table, assembly or C by its template's name, with `slack` spare bytes.

    `blob`: the path by which the source includes the blob of the contents, if they have one.
    """
    values = contents.context()
    values["anchors"] = [rule.anchor(number) for number in range(len(contents.section_names))]
    if contents.blob is not None:
        from hashlib import sha256  # lazy: it loads a large library, and most links render nothing

        digest = sha256(contents.blob).hexdigest()
        values |= {"blob": blob, "blob_digest": digest, "section_names": contents.section_names}
    values |= {"rule": rule, "slack": slack, "directive": DIRECTIVES | {"word": DIRECTIVE[str(contents.arch.word)]}}
    return _of_rule(template_of(rule), base, rule, values)


def anchors(rule: Rule, named: list[tuple[str, str]], base: Path) -> str:
    """The assembly that holds the places of a table's anchors, with the names of their sections, until they are filled
    in."""
    return render("anchors.S.j2", base, anchors=named, rule=rule)
