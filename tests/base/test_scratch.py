"""Folders that last as long as a run."""

import fcntl
from pathlib import Path

import pytest

from buildplug.base import scratch
from buildplug.base.errors import BuildplugError


def test_folder_goes_with_the_run_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch.folder(tmp_path / "out") as folder:
        (folder / "file").write_text("x")
        assert folder.parent == tmp_path
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_folder_of_a_killed_run_goes_with_the_next_for_the_same_output(tmp_path: Path) -> None:
    left = [tmp_path / f".{name}.x.buildplug-tmp" for name in ("out", "other", "[o]ut")]
    for path in left:
        path.mkdir()
    with scratch.folder(tmp_path / "out"):
        assert [path.exists() for path in left] == [False, True, True]
    with scratch.folder(tmp_path / "[o]ut"):
        assert [path.exists() for path in left] == [False, True, False]


def test_folder_of_another_run_stays(tmp_path: Path) -> None:
    with scratch.folder(tmp_path / "out") as one, scratch.folder(tmp_path / "out") as two:
        assert one != two
        assert one.exists()


def test_what_is_no_folder_stays(tmp_path: Path) -> None:
    (tmp_path / ".out.a.buildplug-tmp").write_text("a file")
    (tmp_path / "precious").mkdir()
    (tmp_path / ".out.b.buildplug-tmp").symlink_to(tmp_path / "precious")
    with scratch.folder(tmp_path / "out"):
        pass
    assert len(list(tmp_path.iterdir())) == 3


def test_folder_that_is_taken_away_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    gone: list[Path] = []

    def late(descriptor: int, how: int) -> None:
        if not gone:
            gone.append(Path(f"/proc/self/fd/{descriptor}").readlink())
            gone[0].rmdir()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with scratch.folder(tmp_path / "out") as folder:
        assert folder.exists()
        assert folder != gone[0]


@pytest.mark.parametrize("output", ["no such folder/out", "file/out"])
def test_where_no_folder_can_be_is_an_error(tmp_path: Path, output: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildplugError, match="cannot be written"), scratch.folder(tmp_path / output):
        pass
