"""The sample kernel under the Xen of Debian 13, whichever is installed: by hand, `pytest -m slow` of this file, as it
fetches the package. Apt's own lists and packages stay as they are."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sample_kernel import xen
from sample_kernel.boot import EXIT_OK
from tests.conftest import tool
from tests.kernel.test_xen import memory_of_pv_domain_differs, memory_of_pvh_domain_differs
from tests.samples import built, copy_sample

SUITE, PACKAGE = "trixie", "xen-hypervisor-4.20-amd64"
SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
SERVER = re.compile(r"^(?:URIs: *|deb (?:\[[^]]*\] )?)([^ \n]+)", re.M)


def fetched(folder: Path) -> Path:
    """The hypervisor out of the package, unpacked in an empty folder."""
    text = "\n".join(path.read_text() for path in SOURCES if path.is_file())
    server = SERVER.search(text)
    assert server is not None, "apt knows no Debian server"
    (folder / "lists/partial").mkdir(parents=True)
    (folder / "cache/archives/partial").mkdir(parents=True)
    (folder / "sources.list").write_text(f"deb [trusted=yes] {server[1]} {SUITE} main\n")
    options = {
        "Dir::Etc::sourcelist": folder / "sources.list", "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::Lists": folder / "lists", "Dir::Cache": folder / "cache", "APT::Sandbox::User": "root",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    tool("apt-get", "-qq", *words, "update", cwd=folder)
    tool("apt-get", "-qq", *words, "download", PACKAGE, cwd=folder)
    (package,) = folder.glob("*.deb")
    tool("dpkg-deb", "-x", package, "unpacked", cwd=folder)
    (path,) = (folder / "unpacked/boot").glob("xen-*.gz")
    return path


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_sample(tmp_path_factory.mktemp("xen") / "kernel")
    built(folder)
    return folder / "build" / "vmlinux"


@pytest.fixture(scope="module", autouse=True)
def hypervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = fetched(tmp_path_factory.mktemp("package"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(xen.NAMED, str(path))
        yield path


@pytest.mark.slow
@pytest.mark.parametrize("kind", xen.KINDS)
@pytest.mark.parametrize("arguments", ["", "fixup=off"])
def test_every_check_passes(kernel: Path, kind: str, arguments: str) -> None:
    status, said = xen.boot(kernel, arguments, kind)
    assert status == EXIT_OK, said
    assert "105 checks, 0 failed" in said


@pytest.mark.slow
def test_memory_equals_the_reference(kernel: Path, tmp_path: Path) -> None:
    assert not memory_of_pv_domain_differs(kernel, tmp_path)
    for backend in ("native", "shim"):
        assert not memory_of_pvh_domain_differs(kernel, backend, tmp_path)
