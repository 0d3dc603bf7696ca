"""Independent work, by two processes where there are two processors: the last link of a build leaves the others idle.

Threads would wait for each other, as Python runs one at a time.
"""

import os
import pickle
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from io import FileIO
from typing import TypeVar

from buildplug.base.interruption import SIGNALS

Result = TypeVar("Result")

MOST = 256  # acts: a number is a byte
LARGE = 1 << 24  # bytes of an image that two processes read in less time than one


def each(act: Callable[[int], Result], count: int, size: int) -> list[Result]:
    """The results of act(0), act(1), and so on, which must pickle, about an image of `size` bytes. A child takes some
    of them if that is LARGE: what an act does beside making its result must not matter. Raises what the first act that
    fails raises: the child's failures are repeated here."""
    done = dict[int, Result]()
    if size >= LARGE and 1 < count <= MOST and len(os.sched_getaffinity(0)) > 1:
        with suppress(OSError):  # no room for another process
            done = _shared(act, count)
    return [done[number] if number in done else act(number) for number in range(count)]


def _shared(act: Callable[[int], Result], count: int) -> dict[int, Result]:
    """Those of the results that no failure keeps this process and its child from making: number -> result. Raises
    OSError."""
    with ExitStack() as stack:
        tasks, giving, results, telling = (
            stack.enter_context(FileIO(end, mode))
            for ends in (os.pipe(), os.pipe()) for end, mode in zip(ends, ("rb", "wb"), strict=True)
        )  # fmt: skip
        giving.write(bytes(range(count)))
        giving.close()
        sys.stdout.flush()
        sys.stderr.flush()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until each has its way to end
        pid = 0
        try:
            if (pid := os.fork()) == 0:
                _work(act, tasks, telling, before)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            telling.close()
            done = _taken(act, tasks)
            with suppress(EOFError, pickle.UnpicklingError):
                done |= pickle.loads(results.readall())  # of our own child
            return done
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            with suppress(ProcessLookupError, ChildProcessError):  # a signal's cleanup has ended it
                if pid:
                    os.kill(pid, signal.SIGKILL)  # it has nothing left to do
                    os.waitpid(pid, 0)


def _taken(act: Callable[[int], Result], tasks: FileIO) -> dict[int, Result]:
    """The results of the acts that nobody else takes, up to the first that fails: number -> result."""
    done = dict[int, Result]()
    while number := tasks.read(1):
        try:
            done[number[0]] = act(number[0])
        except Exception:  # each() repeats it
            break
    return done


def _work(act: Callable[[int], object], tasks: FileIO, telling: FileIO, mask: set[int | signal.Signals]) -> None:
    """What the child does; it never returns."""
    try:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)  # its parent cleans up
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        said = memoryview(pickle.dumps(_taken(act, tasks), pickle.HIGHEST_PROTOCOL))
        while said:
            said = said[telling.write(said) :]
    finally:
        os._exit(0)
