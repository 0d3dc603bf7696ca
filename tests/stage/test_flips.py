"""verify sees every byte that decides what is in memory: `python -m bench.flips` flips them in the sample kernel."""

from pathlib import Path

import pytest

from bench.flips import unseen
from buildplug.config.rule import find_shipped
from buildplug.image.compare import compare
from buildplug.image.elf import Image
from buildplug.native import loops
from tests.samples import built, copy_sample


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_sample(tmp_path_factory.mktemp("flips") / "kernel")


def built_images(kernel: Path, arch: str) -> tuple[Image, Image]:
    """Draft and final image."""
    built(kernel, "--arch", arch)
    build = kernel / "build" / ("" if arch == "x86_64" else arch)
    return Image(build / "vmlinux.draft"), Image(build / "vmlinux")


def flip(kernel: Path, arch: str, every: int) -> None:
    draft, final = built_images(kernel, arch)
    count, missed = unseen(draft, final, [rule for rule in find_shipped() if rule.symbol in final.names], every)
    assert count > 30_000 / every
    assert missed == []


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_verify_sees_a_sample_of_flipped_bytes(kernel: Path, arch: str) -> None:
    flip(kernel, arch, 200)


def test_no_small_number_is_taken_for_one_that_the_linker_script_computes(kernel: Path) -> None:
    draft, final = built_images(kernel, "x86_64")
    own = {rule.section for rule in find_shipped()}
    note, content = final.section(".note"), bytearray(final.data)
    for at in range(note.offset, note.offset + 12, 4):  # the sizes in its head
        for mask in range(1, 256):
            content[at] ^= mask
            assert compare(draft, Image.of(final.path, bytes(content)), own).changed, (at, mask)
            content[at] ^= mask


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])  # of the others, more than a field says what it holds
def test_an_image_alone_is_looked_at_alike_with_and_without_loops(
    kernel: Path, arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, final = built_images(kernel, arch)
    own = {rule.section for rule in find_shipped()}
    rows = final.relocations()
    places = final.contents[0][rows["section"]] + rows["offset"]
    seen = 0
    for at in [None, *places[:: len(places) // 30].tolist()]:
        content = bytearray(final.data)
        if at is not None:
            content[int(at)] ^= 0x10
        found = []
        for library in (loops.library(), None):
            monkeypatch.setattr(loops, "library", lambda library=library: library)
            image = Image.of(final.path, bytes(content))
            found.append(compare(image, image, own).changed)
            monkeypatch.undo()
        assert found[0] == found[1]
        seen += bool(found[0])
        assert at is not None or not found[0]
    assert seen > 10


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_verify_sees_every_flipped_byte(kernel: Path, arch: str) -> None:
    flip(kernel, arch, 1)
