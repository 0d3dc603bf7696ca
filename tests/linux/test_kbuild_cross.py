"""Real Linux of other architectures with our link stage, built in a folder of its own and booted."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildplug.base.data import build_system
from buildplug.linux.versions import SCRIPT
from tests.conftest import tool
from tests.linux.conftest import check_forecast, folder, kbuilt
from tests.linux.test_kbuild_linux import OURS, check_letters, symbols
from tests.linux_boot import boot_cross
from tests.linux_cross import BUILT, Cross, link_words
from tests.linux_image import FORMS
from tests.samples import buildplug

pytestmark = pytest.mark.linux


@pytest.fixture(scope="module")
def tree(cross: Cross, cross_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with folder(tmp_path_factory) as made:
        yield kbuilt(cross, cross_image, made)


def linked(cross: Cross, tree: Path) -> list[str]:
    """The names of the images of the kernel that have been linked, in order."""
    runs = [line.split() for line in (tree.parent / "ld.log").read_text().splitlines()]
    whole = [words for words in runs if f"--script=./{cross.script}" in words]
    return [Path(words[len(words) - words[::-1].index("-o")]).name for words in whole]


def test_there_is_one_link_also_of_many_objects(cross: Cross, tree: Path) -> None:
    assert linked(cross, tree) == [cross.linked]


def test_the_link_has_the_symbols_that_were_expected(cross: Cross, tree: Path) -> None:
    check_expected(cross, tree)


def check_expected(cross: Cross, tree: Path) -> None:
    """Fails unless the symbols of the link are those of its forecast."""
    shared = "-shared" in link_words(tree / BUILT, cross)
    check_forecast(FORMS[cross.version], linked_image(cross, tree), cross.script, cross.ld, shared=shared)


def test_the_tree_is_as_it_was(tree: Path, cross_image: Path) -> None:
    ours, theirs = tree / SCRIPT, cross_image.parent.parent / SCRIPT
    assert ours.read_bytes() == theirs.read_bytes()
    assert ours.stat().st_mode == theirs.stat().st_mode


def test_make_with_the_patch_left_in_links_once_more_and_then_never(cross: Cross, tree: Path) -> None:
    check_makes(cross, tree)


def check_makes(cross: Cross, tree: Path) -> None:
    """Fails unless make, with the patch left in, links once more and then never."""
    make = ["env", f"PATH={tree.parent}:{os.environ['PATH']}", "make", "-C", str(tree), *cross.words, "Image"]
    assert buildplug("kbuild", "--apply", tree, "--", *cross.words).returncode == 0
    try:
        for number in (1, 0):
            (tree.parent / "ld.log").write_text("")
            tool(*make)
            assert linked(cross, tree) == [cross.linked] * number
    finally:
        assert buildplug("kbuild", "--revert", tree).returncode == 0


def test_kallsyms_are_those_of_scripts_kallsyms(cross: Cross, tree: Path, tmp_path: Path) -> None:
    check_kallsyms(cross, tree, tmp_path)


def check_kallsyms(cross: Cross, tree: Path, tmp_path: Path) -> None:
    """Fails unless the assembly is that of the symbols of our image, but for those of our table."""
    listed = (tree / BUILT / "System.map").read_text().splitlines(keepends=True)
    (tmp_path / "map").write_text("".join(line for line in listed if not line.split()[2].startswith(OURS)))
    expected = tool(tree / BUILT / "scripts/kallsyms", *cross.kallsyms, tmp_path / "map")
    assert buildplug("ksyms", linked_image(cross, tree), "--format", cross.format).stdout == expected


def linked_image(cross: Cross, tree: Path) -> Path:
    """What the last link has made, before its .rela.dyn is dropped."""
    kept = cross.name == "riscv" and cross.linked == "vmlinux"
    return tree / BUILT / ("vmlinux.relocs" if kept else cross.linked)


def test_letters_and_names_are_those_of_the_stock_build(cross: Cross, tree: Path, cross_image: Path) -> None:
    check_letters(tree / BUILT, cross_image.parent)


def test_a_relink_gives_the_bytes_of_one_link_and_neither_starts_a_compiler(
    cross: Cross, tree: Path, tmp_path: Path
) -> None:
    (tmp_path / f"{cross.prefix}gcc").symlink_to("/bin/false")
    made, log = list[bytes](), tree.parent / "ld.log"
    for number, how in ((1, ()), (2, ("--relink",))):
        log.write_text("")
        output = tmp_path / cross.linked
        config = build_system(FORMS[cross.version].kallsyms)
        words = ["ld", f"--config={config}", f"--ld={tree.parent / cross.ld}", *how]
        done = buildplug(
            *words, *link_words(tree / BUILT, cross)[1:], "-o", output, cwd=tree / BUILT,
            env={"BUILDPLUG_MERGED": "vmlinux.o", "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert sum(f"--script={cross.script}" in line for line in log.read_text().splitlines()) == number
        made.append(output.read_bytes())
        output.unlink()
    assert made[0] == made[1]


def test_kallsyms_of_the_booted_kernel_equals_system_map(cross: Cross, tree: Path, tmp_path: Path) -> None:
    check_booted(cross, tree, tmp_path)


def check_booted(cross: Cross, tree: Path, tmp_path: Path) -> None:
    """Fails unless what a kernel says of its kallsyms is its System.map, but for the slide of KASLR."""
    booted = symbols(boot_cross(cross, tree / BUILT / cross.image, "-- /proc/kallsyms", tmp_path))
    listed = symbols((tree / BUILT / "System.map").read_text())
    text = next(address for address, _, name in listed if name == "_text")
    slide = next(address for address, _, name in booted if name == "_text") - text
    mapped = Counter(
        (address + slide, kind, name)
        for address, kind, name in listed if kind != "A" and not name.startswith(OURS)
    )  # fmt: skip
    assert len(booted) > 20_000
    assert Counter(booted) == mapped
    assert bool(slide) == (cross.name == "arm64")  # QEMU gives the other no seed for KASLR
