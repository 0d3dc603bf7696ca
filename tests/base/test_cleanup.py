"""What a run removes at its end is removed whole, whatever signal comes meanwhile."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from buildplug.base import files, scratch
from buildplug.base.errors import Interrupted
from buildplug.base.interruption import SIGNALS, interruptible, to_the_end


def after_a_signal(number: int, act: Callable[..., object]) -> Callable[..., object]:
    def acted(*words: object, **options: object) -> object:
        os.kill(os.getpid(), number)
        return act(*words, **options)

    return acted


@pytest.fixture(autouse=True)
def _not_ignored() -> Iterator[None]:
    """Signals are as in a terminal: a shell ignores some for what runs in its background, and then so do we."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_folder_is_removed_by_a_run_that_a_signal_ends_at_its_end(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "rmtree", after_a_signal(number, shutil.rmtree))
    with pytest.raises(Interrupted), interruptible(), scratch.folder(tmp_path / "image") as folder:
        (folder / "made").touch()
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_file_is_removed_by_a_run_that_a_signal_ends_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "unlink", after_a_signal(signal.SIGTERM, Path.unlink))
    with pytest.raises(Interrupted), interruptible():
        files.write(tmp_path / "image", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["image"]


def test_a_folder_is_removed_if_a_signal_comes_while_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", after_a_signal(signal.SIGTERM, os.open))
    with pytest.raises(Interrupted), interruptible(), scratch.folder(tmp_path / "image"):
        pytest.fail("it goes on")
    assert list(tmp_path.iterdir()) == []


def test_a_cleanup_that_fails_is_the_last_that_signals_wait_for() -> None:
    def fail() -> None:
        raise OSError("none")

    with interruptible():
        with pytest.raises(OSError, match="none"):
            to_the_end(fail)
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)


def test_signals_wait_for_the_outer_of_two_cleanups() -> None:
    done = []

    def outer() -> None:
        to_the_end(lambda: signal.raise_signal(signal.SIGTERM))
        done.append("outer")

    with pytest.raises(Interrupted), interruptible():
        to_the_end(outer)
    assert done == ["outer"]


def test_a_signal_at_the_begin_of_a_cleanup_waits_for_its_end() -> None:
    """Python calls the handler where a function begins, before its first line."""
    frames, done = list[FrameType](), list[str]()
    to_the_end(lambda: frames.append(sys._getframe(1)))
    with pytest.raises(Interrupted), interruptible():
        handler = signal.getsignal(signal.SIGTERM)
        assert callable(handler)
        handler(signal.SIGTERM, frames[0])
        to_the_end(lambda: done.append("done"))
    assert done == ["done"]
