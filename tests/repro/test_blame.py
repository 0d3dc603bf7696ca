"""Two files compared: the parts of archives against the archivers, and causes that the bytes themselves give away."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildplug.repro import archives
from buildplug.repro.blame import compare
from tests.conftest import Link, tool

CONTENTS = {"short": b"a", "a-name-that-is-longer-than-ar-likes": b"some text\n" * 99, "empty": b"", "odd": bytes(513)}
ARCHIVERS = {
    "ar": ["ar", "cqU", "../archive", *CONTENTS],
    "tar": ["tar", "--format=ustar", "-cf", "../archive", *CONTENTS],
    "pax": ["tar", "--format=pax", "-cf", "../archive", *CONTENTS],
}


def archived(folder: Path, kind: str) -> bytes:
    """An archive of CONTENTS, each modified at second 1000 times its place; never at 0, for which newer ar have now."""
    (folder / "files").mkdir()
    for place, (name, content) in enumerate(CONTENTS.items(), 1):
        (folder / "files" / name).write_bytes(content)
        os.utime(folder / "files" / name, (1000 * place, 1000 * place))
    if kind == "cpio":
        names = "\n".join(CONTENTS)
        done = subprocess.run(
            ["cpio", "-o", "--quiet", "-H", "newc"], cwd=folder / "files", input=names.encode(), capture_output=True,
            check=True,
        )  # fmt: skip
        return done.stdout
    tool(*ARCHIVERS[kind], cwd=folder / "files")
    return (folder / "archive").read_bytes()


@pytest.mark.parametrize(("kind", "base"), [("ar", 10), ("tar", 8), ("pax", 8), ("cpio", 16)])
def test_members_and_their_times_are_where_the_archiver_put_them(tmp_path: Path, kind: str, base: int) -> None:
    data = archived(tmp_path, kind)
    found = archives.extents(data)
    assert {e.name: data[e.start : e.end] for e in found if not e.field and e.name in CONTENTS} == CONTENTS
    times = {e.name: int(data[e.start : e.end].strip(b" \0"), base) for e in found
             if e.field == "mtime" and e.name in CONTENTS}  # fmt: skip
    assert times == {name: 1000 * n for n, name in enumerate(CONTENTS, 1)}


@pytest.mark.parametrize("kind", ["ar", "tar", "cpio"])
def test_broken_archive_is_no_archive_or_a_part_of_one(tmp_path: Path, kind: str) -> None:
    data = archived(tmp_path, kind)

    @given(st.integers(0, len(data)), st.integers(0, len(data) - 1), st.binary(min_size=1, max_size=12))
    def broken(end: int, at: int, wrong: bytes) -> None:
        for extent in archives.extents((data[:at] + wrong + data[at + len(wrong) :])[:end]):
            assert extent.start <= extent.end

    broken()


def pair(folder: Path, control: bytes, varied: bytes) -> tuple[Path, Path]:
    paths = folder / "control", folder / "varied"
    for path, content in zip(paths, (control, varied), strict=True):
        path.write_bytes(content)
    return paths


def test_equal_files_have_no_places(tmp_path: Path) -> None:
    assert compare(*pair(tmp_path, b"same", b"same"), ()) == []


@pytest.mark.parametrize(
    ("control", "varied", "cause"),
    [
        (b"made 12:01:02", b"made 12:01:03", "timestamp"),
        (b"made Nov 23 2026", b"made Dec 24 2027", "timestamp"),
        (b"in /tmp/cc1234/x", b"in /tmp/cc9876/x", "temporary path"),
        (b"one, two", b"two, one", "order: of files, of hashes, or of parallel steps"),
        (b"RANDSTRUCT_hash_1", b"RANDSTRUCT_hash_2", "randomised layout seed"),
        (b"\x01\x02", b"\x01\x03", ""),
    ],
)
def test_bytes_that_change_by_themselves_may_tell_why(
    tmp_path: Path, control: bytes, varied: bytes, cause: str
) -> None:
    assert [place.cause for place in compare(*pair(tmp_path, control, varied), ())] == [cause]


def test_longer_file_differs_where_the_other_ends(tmp_path: Path) -> None:
    place = compare(*pair(tmp_path, b"begin", b"beginning"), ())[0]
    assert (place.offset, place.control, place.varied) == (5, "", b"ning".hex(" "))


def test_signature_of_a_module_is_one(tmp_path: Path) -> None:
    modules = []
    for signature in (b"\x11" * 40, b"\x22" * 40):
        info = bytes(8) + len(signature).to_bytes(4, "big")
        modules.append(b"module" + signature + info + b"~Module signature appended~\n")
    place = compare(*pair(tmp_path, *modules), ())[0]
    assert (place.part, place.offset, place.cause) == ("module signature", len(b"module"), "signature")


@pytest.mark.parametrize(
    ("script", "part"),
    [("", ".note.gnu.build-id"), ("SECTIONS { .data : { *(.data) } .notes : { *(.note.*) } }", ".notes: build-id")],
)
def test_build_id_comes_after_what_made_it_differ(tmp_path: Path, script: str, part: str) -> None:
    (tmp_path / "script").write_text(script)
    images = []
    for value in ("1", "2"):
        (tmp_path / "word.S").write_text(f".data; .type word, @object; word: .long 7, {value}; .size word, 8")
        tool("gcc", "-c", "word.S", cwd=tmp_path)
        words = ("-T", "script") if script else ()
        tool("ld", "-e", "0", "--build-id=sha1", *words, "word.o", "-o", "word", cwd=tmp_path)
        images.append((tmp_path / "word").read_bytes())
    places = compare(*pair(tmp_path, *images), ())
    assert [(place.part, place.symbol, place.cause) for place in places] == [
        (".data", "word+0x4", ""), (part, "", "build-id")
    ]  # fmt: skip


def test_section_of_one_file_only_is_named(tmp_path: Path, link: Link) -> None:
    images = [link(source).path.read_bytes() for source in ("nop", 'nop; .section .extra, "a"; .byte 1')]
    parts = [place.part for place in compare(*pair(tmp_path, *images), ())]
    assert ".extra, only in the varied build" in parts


def test_what_is_in_no_section_is_headers(tmp_path: Path, link: Link) -> None:
    control = link("nop").path.read_bytes()
    varied = control[:0x30] + b"\x01" + control[0x31:]  # e_flags
    places = compare(*pair(tmp_path, control, varied), ())
    assert [(place.part, place.offset) for place in places] == [("headers or padding", 0x30)]
