"""The report: its figures are the record's and the images', and its page is whole and alone."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from buildplug.arch.x86 import X86_64
from buildplug.base.errors import BuildplugError
from buildplug.config.ops import read
from buildplug.record import report
from buildplug.record.build import RECORD
from buildplug.record.report import BuildReport
from tests.conftest import tool
from tests.record.pages import HOSTILE, Links, Reader, sections
from tests.samples import buildplug, copy_sample, edit, one_line
from tests.samples import built as build


def test_page_is_whole_and_needs_nothing_else(page: str) -> None:
    tags = Reader(page).tags
    attributes = {name for _, attrs in tags for name in attrs}
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "object", "embed", "use", "image", "a"}
    assert not {name for name in attributes if name.startswith("on") or name in ("src", "href", "xlink:href", "action")}
    assert not re.search(r"https?:|//|url\(|@import", page)


def test_page_has_the_figures_of_the_record(page: str, record: dict[str, Any]) -> None:
    text = " ".join(Reader(page).text.split())
    for name, table in record["tables"].items():
        assert f"{name}{table['section']}{table['rows']:,}{table['bytes']:,}" in text.replace(" ", "")
    for name, seconds in record["seconds"].items():
        assert f"{name}{seconds:.3f}" in text.replace(" ", "")
    assert f"Links that made this image: {record['links']}." in text
    for name, digest in (record["inputs"] | {"": record["outputs"]["vmlinux"]}).items():
        assert name in text
        assert digest in text


def test_page_has_each_section_as_readelf_does(page: str, built: Path) -> None:
    text = Reader(page).text
    for image in ("vmlinux", "vmlinux.draft"):
        for name, (address, size) in sections(built / "build" / image).items():
            assert f"{name}: {address:#x}, {size:,} bytes" in text


def test_page_is_the_same_for_the_same_build(page: str, built: Path) -> None:
    assert page == report.html([report.read(built / "build" / f"vmlinux{RECORD}")])


def test_calls_of_ops_are_as_many_as_objdump_shows(built: Path) -> None:
    calls = re.findall(r"\bcall +[0-9a-f]+ <(\w+)>", tool("objdump", "-d", built / "build" / "vmlinux"))
    found = report.read(built)
    assert isinstance(found, BuildReport)
    sites = found.sites["paravirt"].ops
    ops = read(built / "paravirt.toml", X86_64).ops
    functions = {name: op.function for name, op in ops.items() if op.function}
    assert {name: sites[name]["call"] for name in functions} == {n: calls.count(f) for n, f in functions.items()}


def test_ops_without_a_site_are_one_line(built: Path) -> None:
    found = report.read(built)
    assert isinstance(found, BuildReport)
    sites = found.sites["paravirt"]
    unused = [op for op, counts in sites.ops.items() if not sum(counts.values())]
    assert unused
    assert list(sites.unused) == unused
    shown = {line.split()[0] for line in report.summary(found).splitlines()}
    assert shown & set(sites.ops) == set(sites.ops) - set(unused)
    assert f"  and {len(unused)} ops without a site" in report.summary(found).splitlines()
    page = report.html([found])
    assert not any(f'<th scope="row">{op}</th>' in page for op in unused)
    assert f"<summary>{len(unused)} ops without a site</summary>" in page


def test_summary_has_links_tables_sites_moves_and_seconds(built: Path, record: dict[str, Any]) -> None:
    done = buildplug("report", built)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    table = record["tables"]["paravirt"]
    assert f"vmlinux, x86_64: 2 links, {len(record['tables'])} tables, {table['rows']} sites" in lines
    assert f"paravirt {table['rows']} rows {table['bytes']} bytes in .bp_paravirt" in lines
    assert {f"{name} {seconds:.3f}" for name, seconds in record["seconds"].items()} <= set(lines)
    before, after = (sections(built / "build" / name)[".bss"] for name in ("vmlinux.draft", "vmlinux"))
    assert f".bss {after[0] - before[0]:+#x}" in lines
    assert len(done.stderr) == 0


def test_json_has_what_the_page_has(built: Path, record: dict[str, Any]) -> None:
    (told,) = json.loads(buildplug("report", built, "--json").stdout)
    assert told["record"]["links"] == record["links"]
    assert {s["name"]: tuple(s["final"]) for s in told["sections"]} == sections(built / "build" / "vmlinux")


def test_page_of_several_has_each(built: Path, links: Links, tmp_path: Path) -> None:
    done = buildplug("report", built, links.write(), "-o", tmp_path / "page.html")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert [tag for tag, _ in Reader((tmp_path / "page.html").read_text()).tags].count("article") == 2


def test_names_are_text_whatever_they_hold(links: Links) -> None:
    page = report.html([report.read(links.write(tools={"\x1b[31m\u202e</style><b>": "<i>\n"}))])
    reader = Reader(page)
    assert not {tag for tag, _ in reader.tags} & {"script", "b", "i"}
    assert HOSTILE in reader.text
    said = buildplug("report", links.write(seconds={"\x1b[31m": 1.0})).stdout
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"links": "2"}, "links: expected an integer, found '2'"),
        ({"image": "../vmlinux"}, "expected the name of a file beside it"),
        ({"image": "x" * 5000}, ".draft: cannot be read: File name too long"),
        ({"image": "other"}, "other.draft: cannot be read"),
        ({"outputs": {}}, "expected the file that vmlinux.buildplug.json speaks of"),
        ({"tables": {"x": {"rows": 1}}}, "tables.x: expected the key 'symbol'"),
        ({"tables": {"x": {"symbol": "s", "section": ".text", "rows": 1, "bytes": 1, "ops": ["a"]}}}, "bad_magic"),
        ({"tables": {"x": {"symbol": "s", "section": ".no", "rows": 1, "bytes": 1, "ops": ["a"]}}}, "section .no"),
        ({"seconds": {"compile": None}}, "expected a number, found None"),
    ],
)
def test_record_that_is_wrong_is_one_line(links: Links, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BuildplugError) as error:
        report.read(links.write(**changes))
    assert says in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", "nul", "[" * 100000, "\0"])
def test_text_that_is_no_record_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(text)
    failed = buildplug("report", tmp_path / "record.json")
    assert failed.returncode == 1
    one_line(failed.stderr)


def test_configuration_without_a_build_says_so(tmp_path: Path) -> None:
    failed = buildplug("report", copy_sample(tmp_path / "kernel"))
    assert failed.returncode == 1
    assert "expected the record of a build, found none; build first" in one_line(failed.stderr)


def test_image_that_was_changed_since_is_refused(built: Path, tmp_path: Path) -> None:
    kernel = Path(shutil.copytree(built, tmp_path / "kernel"))
    with (kernel / "build" / "vmlinux").open("ab") as file:
        file.write(b"?")
    assert "expected the file that vmlinux.buildplug.json speaks of" in one_line(buildplug("report", kernel).stderr)


def test_moved_table_is_told(tmp_path: Path) -> None:
    """A linker that moves data inside a section: the table is rewritten, and the report says what and why."""
    kernel = copy_sample(tmp_path / "kernel")
    edit(
        kernel / "kernel.lds",
        ("ADDR(.data) - kernel_base) ALIGN(4096)", "ADDR(.data) - kernel_base) ALIGN(16) SUBALIGN(16)"),
        ("data_start = .;", "data_start = .; QUAD(0) . = ALIGN(4096);"),
    )
    edit(kernel / "buildplug.toml", ('"--fatal-warnings"', '"--no-warn-rwx-segments"'))
    record = build(kernel)
    assert record["rewritten"]
    text = Reader(report.html([report.read(kernel)])).text
    assert text.count("rewritten in place") == len(record["rewritten"])
    assert "parts moved: " in buildplug("report", kernel).stdout
