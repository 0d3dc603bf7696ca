"""A real Linux built again: what differs, by what, and that nothing does once the time of the build is fixed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from buildplug.base.schema import convert
from buildplug.record.rebuilds import Rebuilds, summary
from tests.samples import buildplug

pytestmark = [pytest.mark.linux, pytest.mark.slow]

# make rebuilds its tools in every copy, and then all that they are older than: unless they are made to be older.
KEEP = "make -s prepare; find tools/objtool -type f -exec touch -r Makefile {} +; rm -f usr/*.o usr/*.cpio"
FIRST = "rm -f .version"  # the number of the build, in the banner
LINK = f"{FIRST}; {KEEP}; make -s -j$(nproc) vmlinux"
# In the varied folder everything is compiled anew.
COMPILE = f"{FIRST}; case $PWD in */build-path) make -s clean;; *) {KEEP};; esac; make -s -j$(nproc) vmlinux"

Rebuild = Callable[[str, str, dict[str, str]], Rebuilds]


@pytest.fixture
def rebuild(vmlinux: Path, scratch: Path, capsys: pytest.CaptureFixture[str]) -> Rebuild:
    """Rebuilds Linux with one variation; prints what that shows."""

    def rebuilt(vary: str, command: str, env: dict[str, str]) -> Rebuilds:
        words = ("--json", f"--vary=-all,{vary}", "--output", "vmlinux", "--", "sh", "-ec", command)
        done = buildplug("repro", vmlinux.parent, *words, env=env | {"TMPDIR": str(scratch)}, timeout=7200)
        assert done.stdout, done.stderr
        found = convert(Rebuilds, json.loads(done.stdout), "Linux", strict=False)
        with capsys.disabled():
            print("", *summary(found), sep="\n")
        return found

    return rebuilt


def test_time_is_blamed_on_the_banner(rebuild: Rebuild) -> None:
    found = rebuild("time", LINK, {})
    assert [blame.variations for blame in found.blame] == [("time",)]
    places = found.blame[0].places
    assert {"linux_banner", "init_uts_ns"} <= {place.symbol.partition("+")[0] for place in places}
    for place in places:
        assert place.cause == ("build-id" if place.part == ".notes: build-id" else "timestamp")


def test_linux_is_the_same_in_another_folder(rebuild: Rebuild) -> None:
    """Once linked of the objects in the cache, once compiled in another folder."""
    found = rebuild("build_path", COMPILE, {"SOURCE_DATE_EPOCH": "1700000000"})
    assert found.blame == ()
    assert [verdict.variation for verdict in found.variations] == ["build_path"]
