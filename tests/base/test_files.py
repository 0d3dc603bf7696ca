"""Files are the old ones or the new ones."""

import os
import stat
import sys
import time
from pathlib import Path

import pytest

from buildplug.base import parallel
from buildplug.base.errors import BuildplugError
from buildplug.base.files import CLOCK, digest, put, read, read_ahead, read_text, remove, replacing, write
from tests.conftest import tool


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file that is there already, of long ago."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.utime(path, (1000, 1000))
    return path


def only(path: Path) -> None:
    """That nothing lies beside the file."""
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_new_file_takes_the_place_of_the_old(old: Path) -> None:
    write(old, "new")
    assert old.read_bytes() == b"new"
    only(old)


def test_only_files_are_removed(old: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    remove(tmp_path / "missing", tmp_path / "pipe", tmp_path, old)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_the_same_content_leaves_the_time_alone(old: Path) -> None:
    write(old, b"old")
    assert old.stat().st_mtime == 1000
    only(old)


def test_content_of_the_same_size_is_compared(old: Path) -> None:
    write(old, b"odd")
    assert old.read_bytes() == b"odd"


def test_folders_are_made(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "file", "x")
    assert (tmp_path / "a" / "b" / "file").read_text() == "x"


def test_the_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        write(tmp_path / "file", "x")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_an_exception_leaves_the_old_file(old: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), replacing(old) as scratch:
        scratch.write_bytes(b"half")
        raise RuntimeError("stop")
    assert old.read_bytes() == b"old"
    only(old)


def test_an_interrupt_leaves_the_old_file(old: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replacing(old) as scratch:
        scratch.write_bytes(b"half")
        raise KeyboardInterrupt
    assert old.read_bytes() == b"old"
    only(old)


def test_readers_see_the_old_file_until_the_end(old: Path) -> None:
    with replacing(old) as scratch:
        scratch.write_bytes(b"new")
        assert old.read_bytes() == b"old"
        assert scratch.parent == old.parent
    assert old.read_bytes() == b"new"


def test_a_scratch_file_that_is_gone_is_an_error(old: Path) -> None:
    with pytest.raises(BuildplugError, match="cannot be written: No such file"), replacing(old) as scratch:
        scratch.unlink()
    assert old.read_bytes() == b"old"


def test_a_file_that_is_too_large_leaves_the_old_one(old: Path) -> None:
    program = (
        "import resource, sys; from pathlib import Path; from buildplug.base.files import write\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write(Path(sys.argv[1]), bytes(5000))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    said = tool(sys.executable, "-c", program, old)  # not here: the limit would be one for our own output, too
    assert said == f"BuildplugError {old}: cannot be written: File too large\n"
    assert old.read_bytes() == b"old"
    only(old)


def test_a_full_disk_leaves_the_old_file(old: Path) -> None:
    with (
        pytest.raises(BuildplugError, match=r"file: cannot be written: No space left on device"),
        replacing(old),
        Path("/dev/full").open("wb") as full,
    ):
        full.write(b"x")
    assert old.read_bytes() == b"old"
    only(old)


@pytest.mark.parametrize("place", ["folder", "file/below", "n" * 300, "zero\0byte"])
def test_a_place_that_cannot_be_written_is_an_error(old: Path, place: str) -> None:
    (old.parent / "folder").mkdir()
    with pytest.raises(BuildplugError, match="cannot be written"):
        write(old.parent / place, "x")
    assert sorted(p.name for p in old.parent.iterdir()) == ["file", "folder"]


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    # as root, "-o /dev/null" would take the device from everybody
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR)  # so that a writer need not wait
    try:
        write(pipe, b"x")
    except BuildplugError as error:
        assert "cannot be written" in str(error)
    os.close(end)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_digest_is_that_of_the_content(old: Path) -> None:
    assert digest(old) == tool("sha256sum", old).split()[0]


def test_digests_that_are_read_ahead_are_those_of_the_contents(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * parallel.LARGE)
        os.utime(path, (0, 0))
    time.sleep(2 * CLOCK / 1e9)  # a file that was just written is read anew
    read_ahead(*paths)
    assert [digest(path) for path in paths] == [tool("sha256sum", path).split()[0] for path in paths]


@pytest.mark.parametrize("reader", [read, read_text, digest])
@pytest.mark.parametrize("name", ["none", ".", "zero\0byte"])
def test_what_cannot_be_read_is_an_error(tmp_path: Path, reader: object, name: str) -> None:
    assert callable(reader)
    with pytest.raises(BuildplugError, match="cannot be read"):
        reader(tmp_path / name)


def test_text_is_utf_8(old: Path) -> None:
    old.write_bytes("é".encode())
    assert read_text(old) == "é"
    old.write_bytes(b"ab\xe9")
    with pytest.raises(BuildplugError, match=r"file: expected UTF-8, found byte 0xe9 at 2"):
        read_text(old)


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_file_is_put_in_the_place_of_another(old: Path, exchanges: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two files can be exchanged, and where they cannot."""
    if not exchanges:
        monkeypatch.setattr("buildplug.base.files.RENAME_EXCHANGE", 1 << 20)  # the system refuses it
    for path in (old, old.with_name("link"), old.with_name("missing")):
        if path.name == "link":
            path.symlink_to(old)
        made = old.with_name("made")
        made.write_text(path.name)
        put(made, path)
        assert path.read_text() == path.name
        assert not path.is_symlink()
        assert not made.exists()
    assert old.read_text() == "file"  # not what the link says


def test_nothing_is_put_in_the_place_of_a_folder(old: Path) -> None:
    folder = old.with_name("folder")
    folder.mkdir()
    with pytest.raises(IsADirectoryError):
        put(old, folder)
    assert folder.is_dir()
    assert old.read_bytes() == b"old"
