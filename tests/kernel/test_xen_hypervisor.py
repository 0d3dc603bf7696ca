"""Which Xen the sample kernel is booted under, and what is said of one that does not serve."""

import gzip
from pathlib import Path

import pytest

from buildplug.base.errors import BuildplugError
from sample_kernel import xen


@pytest.fixture(autouse=True)
def unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(xen.NAMED, raising=False)


def hypervisors(folder: Path, *versions: str) -> Path:
    for version in versions:
        (folder / f"xen-{version}-amd64.gz").write_bytes(b"")
    return folder


def test_the_newest_is_taken(tmp_path: Path) -> None:
    assert xen.find(hypervisors(tmp_path, "4.9", "4.20", "4.17")).name == "xen-4.20-amd64.gz"


def test_one_that_the_environment_names_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "xen-4.18-amd64.gz"
    monkeypatch.setenv("XEN", str(other))
    with pytest.raises(BuildplugError, match=r"4.18-amd64.gz: expected a hypervisor, as XEN names it, found none"):
        xen.find(hypervisors(tmp_path, "4.20"))
    other.write_bytes(b"")
    assert xen.find(hypervisors(tmp_path, "4.20")) == other
    monkeypatch.setenv("XEN", str(hypervisors(tmp_path, "4.14") / "xen-4.14-amd64.gz"))
    with pytest.raises(BuildplugError, match=r"expected Xen 4.17 or later, found 4.14"):
        xen.find(tmp_path)


def test_none_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(
        BuildplugError, match=r"expected a hypervisor xen-\*-amd64.gz, found none; apt-get install xen-"
    ):
        xen.find(tmp_path)


def test_an_old_one_is_refused_by_its_name_and_by_its_first_lines(tmp_path: Path) -> None:
    with pytest.raises(BuildplugError, match=r"expected Xen 4.17 or later, found 4.14; apt-get install xen-"):
        xen.find(hypervisors(tmp_path, "4.9", "4.14"))
    with pytest.raises(BuildplugError, match=r"xen.gz: expected Xen 4.17 or later, found 4.11"):
        xen.explain(tmp_path / "vmlinux", tmp_path / "xen.gz", "Xen version 4.11.4 (Debian 4.11.4+107) (gcc)\n")


WHOLE = gzip.compress(bytes(range(256)), mtime=0)
DAMAGED = {
    "Not a gzipped file": b"\x7fELF not packed",
    "Compressed file ended": WHOLE[:-20],
    "Error -3": WHOLE[:10] + b"\xff" * 20 + WHOLE[30:],
}


@pytest.mark.parametrize("found", DAMAGED)
def test_a_damaged_file_is_refused(tmp_path: Path, found: str) -> None:
    path = hypervisors(tmp_path, "4.20") / "xen-4.20-amd64.gz"
    path.write_bytes(DAMAGED[found])
    with pytest.raises(BuildplugError, match=f"expected a hypervisor, packed by gzip, found: {found}"):
        xen.boot(tmp_path / "vmlinux", "", hypervisor=path)
