"""Ends whatever a command has started when the command ends, however it ends.

The command's work is done by a child of the process that the user sees. Each sees the death of the other, also by
SIGKILL, and the one that remains ends what was started: as subreapers (prctl(2)) they inherit all orphans, compilers
included, which ninja puts into groups of their own. The child leads a session, so that no signal to the user's process
group ends both.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from buildplug.base.errors import BuildplugError, Ended
from buildplug.base.interruption import SIGNALS, before_cleanup

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)
GRACE = 0.5  # seconds that programs have to end by themselves, and to remove their temporary files
PATIENCE = 5.0  # seconds after which a process that SIGKILL does not end is given up

_workers: list[int] = []  # the pid of this process, if it is the child


def supervise(clean: Callable[[], None] = lambda: None) -> None:
    """Goes on in a child process. In this one, forwards signals, waits, and raises Ended; if the child was killed,
    calls `clean` when all is ended, and raises BuildplugError. Has no effect in a child."""
    if os.getpid() in _workers:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    parent, others = os.getpid(), children()
    adopt_orphans()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*SIGNALS, signal.SIGTSTP))
    try:
        if (pid := os.fork()) == 0:
            _workers.append(os.getpid())
            os.setsid()
            _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it has died before that
                os._exit(128 + signal.SIGTERM)
            adopt_orphans()
            before_cleanup.append(end_children)
            return
        _forward(pid)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status < 0:
        try:
            end_children(others)
        finally:
            clean()
        raise BuildplugError(
            "buildplug", f"the process that does the work was killed by signal {-status}", status=128 - status
        )
    raise Ended(status)


def exit_if_worker(status: int) -> None:
    """Ends this process if it is the child of supervise()."""
    if os.getpid() in _workers:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(status)


def adopt_orphans() -> None:
    """Makes orphaned descendants, daemons included, children of this process, so that they can be ended."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def children() -> set[int]:
    """The children of this process."""
    return set(_children_of("self"))


def end_children(spared: Collection[int] = (), grace: float = GRACE) -> None:
    """Ends the children of this process except `spared`, and their descendants: SIGTERM, and SIGKILL for what remains
    after `grace` seconds."""
    began, asked, spared = time.monotonic(), set[int](), set(spared)
    while (remaining := children() - spared) or not (spared or _childless()):
        if (waited := time.monotonic() - began) > grace + PATIENCE:
            return
        late = waited >= grace
        found = [*remaining]
        for pid in found:  # the parents first: they shall not start more
            if late or pid not in asked:
                with suppress(ProcessLookupError, PermissionError):  # it has ended, or runs as another user
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
            found += _children_of(pid)
        asked.update(found)
        for pid in remaining:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.002)


def _childless() -> bool:
    """Whether this process has no child. What /proc says is not sure: it may leave some out while others end."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def _children_of(pid: int | str) -> list[int]:
    threads, found = Path(f"/proc/{pid}/task"), ""
    with suppress(OSError):  # the process has just ended
        for thread in threads.iterdir():
            with suppress(OSError):  # the thread has
                found += (thread / "children").read_text()
    return [*map(int, found.split())]


def _forward(pid: int) -> None:
    """Passes signals on to the child."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: os.kill(pid, number))
    if signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL:
        signal.signal(signal.SIGTSTP, lambda *_: _stop(pid))


def _stop(pid: int) -> None:
    """Stops both, as Ctrl-Z does, until a shell continues this process."""
    os.killpg(pid, signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)
    os.killpg(pid, signal.SIGCONT)


def _prctl(option: int, value: int) -> None:
    import ctypes  # lazy: slow to import

    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
