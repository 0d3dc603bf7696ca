"""Termination signals as an exception, so that nothing is left behind."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from buildplug.base.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

_cleanups: list[Callable[[], None]] = []  # that run, each in the one before
_waiting: list[int] = []  # signals that came meanwhile

before_cleanup: list[Callable[[], None]] = []  # called when a signal comes, before Interrupted is raised


def to_the_end(act: Callable[[], None]) -> None:
    """Calls `act`, which must not end halfway, as it removes what was made: a signal that interruptible() takes waits
    for it. (A mask of signals would not do: the threads of numpy take them, too.)"""
    try:
        _cleanups.append(act)
    finally:  # also if one came just now: the others are ignored then
        try:
            act()
        finally:
            if act in _cleanups:
                _cleanups.remove(act)
            if _waiting and not _cleanups:
                signal.raise_signal(_waiting.pop())


@contextmanager
def interruptible() -> Iterator[None]:
    """In the block, the first termination signal raises Interrupted; further ones are ignored until the block has
    cleaned up. One that was ignored before, as nohup(1) does, stays so."""
    taken = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]

    def interrupt(number: int, frame: FrameType | None) -> None:
        if _cleanups:
            _waiting[:] = [number]
            return
        # Python drops an exception out of the callbacks of its imports, and prints it: so after the import
        if frame and frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.signal(signal.SIGALRM, lambda _, now: interrupt(number, now))
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            return
        for other in taken:
            signal.signal(other, signal.SIG_IGN)
        for act in before_cleanup:
            act()
        raise Interrupted(signal.Signals(number).name, 128 + number)

    before = {number: signal.signal(number, interrupt) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
