"""The benchmark that reads references out of the objects of a link: the linker's own list is the oracle."""

import pytest

from bench.hard_inputs import CASES, answer

EQUAL = ("archive", "thin archive", "merged, local symbols and offsets", "sections of one name", "common symbols",
         "hidden symbols and a static of the name", "script: SORT, KEEP, assignments")  # fmt: skip
DOUBTFUL = {
    "archive, two members of one name": "archive members of one name",
    "sections of one name, collected": "sections of an object that share name and size",
    "stripped, -s": "references to a name that is not in the image",
    "--wrap": "fields that do not hold what the objects' list says",
}


@pytest.mark.parametrize("name", EQUAL)
def test_the_references_are_those_that_the_linker_keeps(name: str) -> None:
    first, *others = answer(CASES[name], "ld")
    assert first.startswith("  lists equal: "), others
    assert not first.startswith("  lists equal: 0 ")


@pytest.mark.parametrize("linker", ["ld.lld", "mold"])
def test_the_maps_of_other_linkers_place_the_same_references(linker: str) -> None:
    assert answer(CASES["archive"], linker)[0] == "  lists equal: 7 references, --emit-relocs 7"


@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_list_that_differs_says_what_is_doubtful(name: str) -> None:
    first, *notes = answer(CASES[name], "ld")
    assert first.startswith("  lists differ: ")
    assert any(note.endswith(DOUBTFUL[name]) for note in notes), notes
