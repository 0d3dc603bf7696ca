"""Independent work, by two processes where there are two processors: the last link of a build leaves the others idle.

Threads would wait for each other, as Python runs one at a time.
"""

import os
import pickle
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")

MOST = 256  # acts: a number is a byte
LARGE = 1 << 24  # bytes of an image that two processes read in less time than one


def each(act: Callable[[int], Result], count: int, size: int) -> list[Result]:
    """The results of act(0), act(1), and so on, which must pickle, about an image of `size` bytes. A child takes some
    of them if that is LARGE: what an act does beside making its result must not matter. Raises what the first act that
    fails raises: the child's failures are repeated here."""
    if size < LARGE or not 1 < count <= MOST or len(os.sched_getaffinity(0)) < 2:
        return [act(number) for number in range(count)]
    (tasks, giving), (results, telling) = os.pipe(), os.pipe()
    try:
        os.write(giving, bytes(range(count)))
        os.close(giving)
        sys.stdout.flush()
        sys.stderr.flush()
        if (pid := os.fork()) == 0:
            _work(act, tasks, telling)
        os.close(telling)
        try:
            done = _taken(act, tasks)
            with suppress(EOFError, pickle.UnpicklingError), os.fdopen(results, "rb", closefd=False) as file:
                done |= pickle.load(file)  # of our own child
        finally:
            with suppress(ProcessLookupError, ChildProcessError):  # a signal's cleanup has ended it
                os.kill(pid, signal.SIGKILL)  # it has nothing left to do
                os.waitpid(pid, 0)
    finally:
        os.close(tasks)
        os.close(results)
    return [done[number] if number in done else act(number) for number in range(count)]


def _taken(act: Callable[[int], Result], tasks: int) -> dict[int, Result]:
    """The results of the acts that nobody else takes, up to the first that fails: number -> result."""
    done = dict[int, Result]()
    while number := os.read(tasks, 1):
        try:
            done[number[0]] = act(number[0])
        except Exception:  # each() repeats it
            break
    return done


def _work(act: Callable[[int], object], tasks: int, telling: int) -> None:
    """What the child does; it never returns."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)  # its parent cleans up
        with os.fdopen(telling, "wb") as file:
            file.write(pickle.dumps(_taken(act, tasks), pickle.HIGHEST_PROTOCOL))
    finally:
        os._exit(0)
