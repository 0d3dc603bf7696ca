"""A real Linux built again: what differs, by what, and that nothing does once the time of the build is fixed."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.samples import buildplug

pytestmark = [pytest.mark.linux, pytest.mark.slow]

# make rebuilds its tools in every copy, and then all that they are older than: unless they are made to be older.
KEEP = "make -s prepare; find tools/objtool -type f -exec touch -r Makefile {} +; rm -f .version usr/*.o usr/*.cpio"
LINK = f"{KEEP}; make -s -j$(nproc) vmlinux"
# In the varied folder everything is compiled anew.
COMPILE = f"case $PWD in */build-path) make -s clean;; *) {KEEP};; esac; make -s -j$(nproc) vmlinux"


def rebuilt(tree: Path, scratch: Path, vary: str, command: str, env: dict[str, str]) -> dict[str, Any]:
    scratch.mkdir()
    words = ("repro", tree, "--json", f"--vary=-all,{vary}", "--output", "vmlinux", "--", "sh", "-ec", command)
    done = buildplug(*words, env=env | {"TMPDIR": str(scratch)}, timeout=7200)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_time_is_blamed_on_the_banner(vmlinux: Path, tmp_path: Path) -> None:
    found = rebuilt(vmlinux.parent, tmp_path / "scratch", "time", LINK, {})
    assert [blame["variations"] for blame in found["blame"]] == [["time"]]
    places = found["blame"][0]["places"]
    assert {"linux_banner", "init_uts_ns"} <= {place["symbol"].partition("+")[0] for place in places}
    for place in places:
        assert place["cause"] == ("build-id" if place["part"] == ".notes: build-id" else "timestamp")


def test_linux_is_the_same_in_another_folder(vmlinux: Path, tmp_path: Path) -> None:
    """Once linked of the objects in the cache, once compiled in another folder."""
    found = rebuilt(vmlinux.parent, tmp_path / "scratch", "build_path", COMPILE, {"SOURCE_DATE_EPOCH": "1700000000"})
    assert found["blame"] == []
    assert [verdict["variation"] for verdict in found["variations"]] == ["build_path"]
