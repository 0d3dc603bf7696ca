"""Linux compiled by clang and linked by lld, with our link stage."""

from collections import Counter
from pathlib import Path

import pytest

from tests import linux_image
from tests.conftest import tool
from tests.linux.test_kbuild_linux import BZIMAGE, symbols
from tests.linux_boot import boot
from tests.samples import buildplug

PROGRAMS = {"clang": "clang", "ld.lld": "lld", "llvm-nm": "llvm"}  # and their packages
pytestmark = [pytest.mark.linux, pytest.mark.slow]  # Linux is compiled anew


@pytest.mark.parametrize("linux", [linux_image.LONG_TERM], ids=lambda linux: linux.stage.version, indirect=True)
@pytest.mark.parametrize("llvm", ["1", "-19"])
def test_kallsyms_of_the_booted_kernel_equals_system_map(
    linux: linux_image.Linux, linux_tree: Path, llvm: str, tmp_path: Path
) -> None:
    version = llvm.removeprefix("1")
    tool(linux_image.INSTALL, *(f"{name}{version}={of}{version}" for name, of in PROGRAMS.items()))
    tree = linux_image.copy(linux_image.by_llvm(linux, llvm), tmp_path / "linux")
    done = buildplug("kbuild", tree, "--", f"LLVM={llvm}", "bzImage")
    assert done.returncode == 0, done.stdout + done.stderr
    map_ = symbols((tree / "System.map").read_text())
    (tmp_path / "map").write_text(
        "".join(f"{a:016x} {k} {n}\n" for a, k, n in map_ if not n.startswith(("__bp_", "____bp_")))
    )
    expected = tool(tree / "scripts/kallsyms", *linux.kallsyms, tmp_path / "map")
    assert buildplug("ksyms", tree / "vmlinux", "--format", linux.format).stdout == expected
    booted = symbols(boot(tree / BZIMAGE, "-- /proc/kallsyms", lambda _: (), tmp_path)[0])
    slide = next(a for a, _, n in booted if n == "_text") - next(a for a, _, n in map_ if n == "_text")
    assert slide  # KASLR
    found = Counter((a - slide * (a >= slide and kind != "A"), n) for a, kind, n in booted)
    assert len(booted) > 10_000
    assert found == Counter((a, n) for a, k, n in map_ if k != "A" and not n.startswith(("__bp_", "____bp_")))
