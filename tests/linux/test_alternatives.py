"""Paravirt sites of Linux 6.12 and newer from relocations, against the entries that its macros leave of the same sites.

Both are in the .altinstructions of one image, ours in front.
"""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

from buildplug.base.data import build_system
from tests import linux_image
from tests.conftest import small_linux
from tests.linux_image import Linux
from tests.linux_patching import DIRECT_CALL, FLAGGED, Memory
from tests.samples import buildplug

pytestmark = pytest.mark.linux


class Entry(NamedTuple):
    """An entry, with what its offsets lead to: the site's address, and the code; of a call, its target."""

    site: int
    code: bytes | int
    feature: int
    flags: int
    length: int
    replacement_length: int


@pytest.fixture(scope="module", params=linux_image.LINUXES[1:], ids=lambda linux: linux.stage.version)
def linux(request: pytest.FixtureRequest) -> Linux:
    """The versions that list paravirt sites so."""
    found: Linux = request.param
    return found


@pytest.fixture(scope="module")
def image(linux: Linux, tmp_path_factory: pytest.TempPathFactory) -> Memory:
    """The objects of the cached tree, which Linux has annotated, linked with our table as well."""
    tree, output = small_linux(linux).parent, tmp_path_factory.mktemp("alternatives") / linux.image
    words: list[str | Path] = [*linux_image.link_words(tree, linux), "-o", output]
    done = buildplug("ld", "--config", build_system(linux.stage.paravirt), *words, cwd=tree)
    assert done.returncode == 0, done.stderr
    return Memory(output)


@pytest.fixture(scope="module")
def entries(image: Memory) -> tuple[list[Entry], list[Entry]]:
    """Ours, and Linux's."""
    start, table = image.sections[".altinstructions"]
    found = []
    for at, (site, code, *rest) in enumerate(FLAGGED.iter_unpack(table)):
        place = start + FLAGGED.size * at
        content: bytes | int = image.read(address := place + 4 + code, rest[-1])
        if isinstance(content, bytes) and content[:1] == b"\xe8":
            content = address + 5 + int.from_bytes(content[1:], "little", signed=True)
        found.append(Entry(place + site, content, *rest))
    assert image.symbols["__bp_altinstructions"] == start
    count = image.sizes["__bp_altinstructions"] // FLAGGED.size
    return found[:count], found[count:]


def by_site(entries: list[Entry]) -> dict[int, list[Entry]]:
    found = defaultdict(list)
    for entry in entries:
        found[entry.site].append(entry)
    return found


def test_entries_of_a_site_equal_those_of_linuxs_macros(entries: tuple[list[Entry], list[Entry]]) -> None:
    ours, theirs = map(by_site, entries)
    sites = {site for site, of in theirs.items() if any(entry.flags & DIRECT_CALL for entry in of)}
    assert len(sites) > 1000
    assert {site: theirs[site] for site in sites if theirs[site] != ours.get(site)} == {}
    assert sum(len(theirs[site]) > 1 for site in sites) > 500  # those with inline code


def test_sites_beyond_those_are_calls_through_a_slot_that_the_macros_do_not_wrap(
    linux: Linux, image: Memory, entries: tuple[list[Entry], list[Entry]], capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = map(by_site, entries)
    assert ours.keys() == image.sites.keys()  # by readelf's relocations
    more = sorted(ours.keys() - theirs.keys())
    assert len(more) < 20
    functions = sorted((address, name) for name, address in image.symbols.items() if image.sizes[name])
    with capsys.disabled():
        names = [max(pair for pair in functions if pair[0] <= site)[1] for site in more]
        print(
            f"\n{linux.stage.version}: {len(ours)} sites, {len(entries[0])} entries; not wrapped: "
            f"{', '.join(names) or 'none'}"
        )


def test_entries_of_a_site_are_adjacent_and_in_front_of_all_others(entries: tuple[list[Entry], list[Entry]]) -> None:
    ours, _ = entries
    assert [entry.site for entry in ours] == sorted(entry.site for entry in ours)
    for of in by_site(ours).values():
        assert [bool(entry.flags & DIRECT_CALL) for entry in of] == [True, False][: len(of)]
