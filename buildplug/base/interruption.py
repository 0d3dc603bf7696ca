"""Termination signals as an exception, so that nothing is left behind."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

from buildplug.base.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

_cleanups: list[Callable[[], None]] = []  # that run, each in the one before
_waiting: list[Callable[[], None]] = []  # raises Interrupted for a signal that came meanwhile

before_cleanup: list[Callable[[], None]] = []  # called when a signal comes, before Interrupted is raised


def to_the_end(act: Callable[[], None]) -> None:
    """Calls `act`, which must not end halfway, as it removes what was made: a signal that interruptible() takes waits
    for it. (A mask of signals would not do: the threads of numpy take them, too.)"""
    _cleanups.append(act)
    try:
        act()
    finally:
        _cleanups.remove(act)
        if _waiting and not _cleanups:
            _waiting.pop()()


@contextmanager
def interruptible() -> Iterator[None]:
    """In the block, the first termination signal raises Interrupted; further ones are ignored until the block has
    cleaned up. One that was ignored before, as nohup(1) does, stays so."""
    taken = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]

    def end(number: int) -> None:
        for other in taken:
            signal.signal(other, signal.SIG_IGN)
        for act in before_cleanup:
            act()
        raise Interrupted(signal.Signals(number).name, 128 + number)

    def interrupt(number: int, frame: FrameType | None) -> None:
        # Python calls this where functions begin, too: to_the_end() has its code then, and not yet its cleanup
        if _cleanups or (frame and frame.f_code is to_the_end.__code__):
            _waiting[:] = [partial(end, number)]
        # Python drops an exception out of the callbacks of its imports, and prints it: so after the import
        elif frame and frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.signal(signal.SIGALRM, lambda _, now: interrupt(number, now))
            signal.setitimer(signal.ITIMER_REAL, 0.001)
        else:
            end(number)

    before = {number: signal.signal(number, interrupt) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
