"""Work by two processes: the results of one."""

import gc
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from buildplug.base.parallel import LARGE, each


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})


def process(number: int) -> int:
    """The process that does this, which takes long enough for another to take the next."""
    time.sleep(0.2)
    return os.getpid()


def test_results_are_in_order() -> None:
    assert each(lambda number: number * number, 20, LARGE) == [number * number for number in range(20)]


def test_two_processes_share_the_work_on_a_large_image() -> None:
    assert len({*each(process, 4, LARGE)}) == 2


def test_one_process_does_the_work_on_a_small_image() -> None:
    assert {*each(process, 2, LARGE - 1)} == {os.getpid()}


def test_one_process_does_the_work_on_one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    assert {*each(process, 2, LARGE)} == {os.getpid()}


def test_first_failure_is_raised() -> None:
    def fail(number: int) -> int:
        time.sleep(0.1)
        if number in (2, 3, 7):
            raise ValueError(number)
        return number

    with pytest.raises(ValueError, match="2"):
        each(fail, 10, LARGE)


def test_work_of_a_child_that_is_killed_is_done_again() -> None:
    own = os.getpid()

    def die(number: int) -> int:
        time.sleep(0.1)
        if os.getpid() != own:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    assert each(die, 4, LARGE) == [0, 1, 2, 3]


def test_result_that_does_not_pickle_is_made_again() -> None:
    def make(number: int) -> Callable[[], int]:
        return lambda: number

    assert [made() for made in each(make, 4, LARGE)] == [0, 1, 2, 3]


def test_child_does_not_outlive_an_interruption() -> None:
    own = os.getpid()

    def interrupt(number: int) -> int:
        if os.getpid() == own:
            raise KeyboardInterrupt
        time.sleep(60)
        return number

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        each(interrupt, 4, LARGE)
    assert time.monotonic() - began < 30
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_no_descriptor_is_left_open() -> None:
    gc.collect()  # else what other tests left may be closed meanwhile
    before = sorted(Path("/proc/self/fd").iterdir())
    each(process, 2, LARGE)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_work_is_done_where_no_other_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    gc.collect()
    before = sorted(Path("/proc/self/fd").iterdir())
    monkeypatch.setattr(os, "fork", fail)
    assert each(process, 2, LARGE) == [os.getpid()] * 2
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
