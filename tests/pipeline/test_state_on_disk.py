"""What builds leave on disk is proved or made anew: no damage to it is believed."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from buildplug.record import stamps
from tests.samples import buildplug

SOURCES = {
    "k.c": 'int x = 3;\nconst char s[] = "abc";\nint f(int a) { return a + x; }\nint _start(void) { return f(2); }\n',
    "k.lds": "SECTIONS { .text : { *(.text*) } .rodata : { KEEP(*(.rodata*)) } .data : { *(.data*) } }\n",
    "buildplug.toml": (
        '[kernel]\nname = "k"\n[compile]\nsources = ["k.c"]\ncflags = ["-O1", "-ffreestanding", "-fno-pic"]\n'
        '[link]\nscript = "k.lds"\nflags = ["--gc-sections"]\n[[table]]\nrule = "ksyms"\n'  # so, first two links
    ),
}


def flipped(content: bytes) -> bytes:
    """With another bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def no_text(content: bytes) -> bytes:
    """Neither UTF-8, JSON, an archive nor ELF."""
    return b"\xff{"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small kernel that has been built twice; each test repairs what it damages."""
    folder = tmp_path_factory.mktemp("state")
    for name, text in SOURCES.items():
        (folder / name).write_text(text)
    why = "the room of its tables was not known before, with --gc-sections"
    for said in (f"  RELINK  k: {why}\n", ""):
        done = buildplug("build", folder)
        assert (done.returncode, done.stderr) == (0, said)
    return folder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_builds(project: Path, image: str) -> None:
    """Builds; fails unless the image and the record of it are the ones."""
    done = buildplug("build", project)
    assert done.returncode == 0, done.stderr
    assert sha256(project / "build" / "k") == image
    outputs = json.loads((project / "build" / "k.buildplug.json").read_text())["outputs"]
    assert outputs["k"] == image
    assert outputs["k.draft"] == sha256(project / "build" / "k.draft")


FILES = (
    ".doit.json", ".made", ".ninja_deps", ".ninja_log", ".stamps", "build.ninja", "gen/anchors.lds", "gen/bp_ksyms.npz",
    "gen/bp_ksyms_stub.S", "gen/bp_ksyms_stub.bin", "gen/bp_ksyms_table.S", "gen/bp_ksyms_table.bin", "gen/ksyms.c",
    "gen/ksyms.h", "k", "k.buildplug.json", "k.draft", "k.relinked",
    "k.relinked.d", "notes/assemble.json", "notes/compile.json", "notes/draft.json", "notes/extract.json",
    "notes/generate.json", "notes/record.json", "notes/relink.json", "notes/verify.json", "obj/k.c.o", "obj/k.draft",
    "obj/build/gen/bp_ksyms_table.S.o",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [flipped, no_text])
def test_damaged_file_is_made_anew(project: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    """With the time of before, which is what ninja and doit look at."""
    image, path = sha256(project / "build" / "k"), project / "build" / name
    if not path.exists():  # a build that filled the tables in has made no depfile of a relink
        shutil.rmtree(project / "build")
        assert_builds(project, image)
    content, status = path.read_bytes(), path.stat()
    path.write_bytes(damage(content))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert_builds(project, image)


def test_object_that_is_damaged_is_not_linked(project: Path) -> None:
    image, path = sha256(project / "build" / "k"), project / "build" / "obj" / "k.c.o"
    content, status = path.read_bytes(), path.stat()
    path.write_bytes(content.replace(b"abc", b"abd"))
    assert path.read_bytes() != content
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    (project / "build" / "k").unlink()
    (project / "build" / "k.relinked").unlink()
    (project / "build" / "obj" / "k.draft").unlink()
    assert_builds(project, image)


def test_image_is_not_made_of_a_damaged_link(project: Path) -> None:
    image, path = sha256(project / "build" / "k"), project / "build" / "k.relinked"
    path.write_bytes(path.read_bytes().replace(b"abc", b"abd"))
    (project / "build" / "k").write_bytes(b"")
    assert_builds(project, image)


def test_restored_build_directory_is_not_made_anew(project: Path, tmp_path: Path) -> None:
    """As a continuous integration restores it: files with their times, but new."""
    saved = tmp_path / "saved"
    shutil.copytree(project / "build", saved)
    shutil.rmtree(project / "build")
    shutil.copytree(saved, project / "build")
    done = buildplug("build", project, "--explain")
    assert done.stderr.count("up to date") == 7, done.stderr


def test_list_of_stamps_is_believed_whole_or_not_at_all(project: Path) -> None:
    path = project / "build" / stamps.NAME
    content, options = path.read_bytes(), stamps.options(project / "buildplug.toml", None, "")
    assert stamps.unchanged(path, options) is not None
    for at in range(0, len(content), 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        assert stamps.unchanged(path, options) is None
        path.write_bytes(content[:at])
        assert stamps.unchanged(path, options) is None
    path.write_bytes(content)


def test_file_of_the_users_in_place_of_one_that_was_made_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    stamps.note_made(tmp_path / "list", [str(tmp_path / "mine")])
    (tmp_path / "mine").write_text("mine, changed")
    assert stamps.remove_damaged(tmp_path / "list", []) == set()
    assert (tmp_path / "mine").exists()
