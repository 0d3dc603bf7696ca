"""Linux compiled by clang and linked by lld, with our link stage."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import linux_image
from tests.conftest import tool
from tests.linux.conftest import folder
from tests.linux.test_kbuild_linux import BZIMAGE, check_kallsyms, links, symbols
from tests.linux_boot import boot
from tests.linux_image import LONG_TERM, NEWEST, Linux
from tests.samples import buildplug, logging_tool

PROGRAMS = {"clang": "clang", "ld.lld": "lld", "llvm-nm": "llvm"}  # and their packages
pytestmark = [pytest.mark.linux, pytest.mark.slow]  # Linux is compiled anew


@pytest.fixture(
    scope="session", params=[(LONG_TERM, "1"), (LONG_TERM, "-19"), (NEWEST, "-19")],
    ids=lambda built: f"{built[0].stage.version}-LLVM={built[1]}",
)  # fmt: skip
def built(request: pytest.FixtureRequest) -> tuple[Linux, str]:
    """A version of Linux, and what make's LLVM= says."""
    found: tuple[Linux, str] = request.param
    return found


@pytest.fixture(scope="session")
def linux(built: tuple[Linux, str]) -> Linux:
    return built[0]


@pytest.fixture(scope="module")
def stock(built: tuple[Linux, str], linux_tree: Path) -> Path:
    """The tree that Linux's own stage has built; where that version is tested at all."""
    version = built[1].removeprefix("1")
    tool(linux_image.INSTALL, *(f"{name}{version}={of}{version}" for name, of in PROGRAMS.items()))
    return linux_image.by_llvm(*built)


@pytest.fixture(scope="module")
def tree(built: tuple[Linux, str], stock: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of it, its bzImage built with our stage; the linker's runs in ld.log."""
    linux, llvm = built
    with folder(tmp_path_factory) as made:
        tree, ld = linux_image.copy(stock, made / "linux"), f"ld.lld{llvm.removeprefix('1')}"
        logging_tool(made / ld, ld, made / "ld.log")
        (tree / linux.image).unlink()
        done = buildplug("kbuild", tree, "--", f"LLVM={llvm}", "bzImage", env={"PATH": f"{made}:{os.environ['PATH']}"})
        assert done.returncode == 0, done.stdout + done.stderr
        yield tree


def test_there_is_one_link(tree: Path) -> None:
    assert links(tree) == 1


def test_kallsyms_are_those_of_scripts_kallsyms(linux: Linux, tree: Path, tmp_path: Path) -> None:
    listed = symbols((tree / "System.map").read_text())
    ours = ("__bp_", "____bp_")
    (tmp_path / "map").write_text("".join(f"{a:016x} {k} {n}\n" for a, k, n in listed if not n.startswith(ours)))
    expected = tool(tree / "scripts/kallsyms", *linux.kallsyms, tmp_path / "map")
    assert buildplug("ksyms", tree / linux.image, "--format", linux.format).stdout == expected


def test_kallsyms_of_the_booted_kernel_equals_system_map_with_the_letters_of_the_stock_build(
    linux: Linux, tree: Path, stock: Path, tmp_path: Path
) -> None:
    output, _ = boot(tree / BZIMAGE, "-- /proc/kallsyms", lambda _: (), tmp_path)
    assert len(symbols(output)) > 10_000
    check_kallsyms(linux, output, tree, stock)
