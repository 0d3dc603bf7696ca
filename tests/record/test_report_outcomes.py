"""What the report says becomes of sites, beside what objdump shows of the image before and after the fixup."""

import re
from pathlib import Path

import pytest

from buildplug.image.elf import Image
from buildplug.record import report
from buildplug.record.report import BuildReport
from buildplug.runtime.fixup import apply
from tests.conftest import tool
from tests.record.pages import Reader


@pytest.fixture(scope="module")
def found(built: Path) -> BuildReport:
    read = report.read(built)
    assert isinstance(read, BuildReport)
    return read


@pytest.mark.parametrize(
    ("backend", "op", "outcome", "code"),
    [
        ("xen", "set_pte_rbx", "call", r"call .*<xen_set_pte_rbx>"),
        ("shim", "write_cr3", "call", r"call .*<shim_write_cr3>"),
        ("xen", "irq_disable", "inline", r"movb +\$0x1,%gs:0x1"),
        ("native", "read_cr2", "inline", r"mov +%cr2,%rax"),
        ("native", "cpuid", "inline", r"cpuid"),
        ("xen", "wrmsr", "inline", r"wrmsr"),
    ],
)
def test_outcomes_are_as_many_as_objdump_shows(
    built: Path, found: BuildReport, tmp_path: Path, backend: str, op: str, outcome: str, code: str
) -> None:
    image = built / "build" / "vmlinux"
    apply(Image(image), "bp_paravirt", f"bp_paravirt_{backend}", tmp_path / "applied")
    before, after = (
        len(re.findall(rf"^ *[0-9a-f]+:\t(?:{code})", tool("objdump", "-d", "--no-show-raw-insn", path), re.M))
        for path in (image, tmp_path / "applied")
    )
    assert found.sites["paravirt"].became[backend][op][outcome] == after - before > 0


def test_each_site_becomes_one_thing_under_each_backend(found: BuildReport) -> None:
    sites = found.sites["paravirt"]
    assert set(sites.became) == {"native", "shim", "xen"}
    for ops in sites.became.values():
        assert {op: sum(of.values()) for op, of in ops.items()} == {
            op: sum(of.values()) for op, of in sites.ops.items()
        }
    assert sites.became["native"]["make_pte_rbx"]["nothing"] > 0
    assert sites.became["xen"]["io_delay"]["call"] == sum(
        count for kind, count in sites.ops["io_delay"].items() if kind in ("cond-jump", "address", "pointer")
    )


def test_page_and_summary_say_so(found: BuildReport, page: str) -> None:
    text = " ".join(Reader(page).text.split())
    count = found.sites["paravirt"].became["xen"]["set_pte_rbx"]["call"]
    assert re.search(rf"set_pte_rbx \d+ inline {count} call {count} call\b", text)
    lines = report.summary(found).splitlines()
    assert "believed, not proved: what xen cpuid writes, 1" in lines
    assert any(re.fullmatch(r" +inline +call +nothing +default", line) for line in lines)
