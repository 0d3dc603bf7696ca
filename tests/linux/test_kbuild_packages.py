"""Debian packages of Linux with our link stage, beside those of the stock build."""

from pathlib import Path

import pytest

from buildplug.linux.versions import SCRIPT
from tests import linux_image
from tests.conftest import tool
from tests.linux.test_kbuild_linux import BZIMAGE
from tests.samples import buildplug

pytestmark = [pytest.mark.linux, pytest.mark.slow]  # both compile what names the time of the build anew
MAKE = ("bindeb-pkg", "DPKG_FLAGS=-d", "-j2", "-s", *linux_image.FIXED)


def unpacked(folder: Path) -> dict[str, dict[str, bytes]]:
    """Package -> file -> content; but for the checksums of the files, which say the same again."""
    found = {}
    for package in folder.glob("*.deb"):
        to = folder / "unpacked" / package.name
        to.mkdir(parents=True)
        tool("dpkg-deb", "-x", package, to)
        found[package.name] = {
            str(path.relative_to(to)): path.read_bytes() for path in sorted(to.rglob("*")) if path.is_file()
        }
    return found


@pytest.mark.parametrize("linux", [linux_image.LONG_TERM], ids=lambda linux: linux.stage.version, indirect=True)
def test_packages_have_what_those_of_the_stock_build_have(
    linux: linux_image.Linux, linux_tree: Path, tmp_path: Path
) -> None:
    tool(linux_image.INSTALL, "dh=debhelper", "dpkg-buildpackage=dpkg-dev", "rsync=rsync")
    stock, ours = (linux_image.copy(linux_tree, tmp_path / name / "linux") for name in ("stock", "ours"))
    tool("make", "-C", stock, *MAKE)
    done = buildplug("kbuild", ours, "--", *MAKE, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (ours / SCRIPT).read_text() == (stock / SCRIPT).read_text()
    expected, found = unpacked(stock.parent), unpacked(ours.parent)
    assert {name: list(files) for name, files in found.items()} == {n: list(files) for n, files in expected.items()}
    image = next(name for name in found if name.startswith("linux-image") and "dbg" not in name)
    version = next(name for name in found[image] if name.startswith("boot/vmlinuz-")).removeprefix("boot/vmlinuz-")
    assert found[image][f"boot/System.map-{version}"] == (ours / "System.map").read_bytes()
    assert found[image][f"boot/vmlinuz-{version}"] == (ours / BZIMAGE).read_bytes()
    different = {f for name, files in found.items() for f in files if files[f] != expected[name][f]}
    named = {name for name in different if "/doc/" not in name}  # the changelog has the time of the package
    assert named == {f"boot/System.map-{version}", f"boot/vmlinuz-{version}"}
