"""Runs another program in place of this one. Imports next to nothing: most links only pass through here."""

import os
import sys

from buildplug.base.errors import BuildplugError


def exec_program(command: list[str], env: dict[str, str]) -> int:
    """Replaces this process by another program and never returns. Raises BuildplugError if it cannot be run."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], command, env)
    except (OSError, ValueError) as error:
        raise _not_run(command, error) from None


def run(command: list[str], env: dict[str, str]) -> int:
    """Runs a program on this process's streams, forwards termination signals to it, and returns its exit status as a
    shell reports it. Raises BuildplugError if it cannot be run."""
    import signal  # lazy: exec_program() does not need it

    forwarded = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, forwarded)  # until the pid is known
    try:
        # Python ignores SIGPIPE and SIGXFSZ, which other programs do not expect to inherit
        ignored = (signal.SIGPIPE, signal.SIGXFSZ)
        pid = os.posix_spawnp(command[0], command, env, setsigdef=ignored, setsigmask=before)
        for number in forwarded:
            signal.signal(number, lambda number, _: os.kill(pid, number))
    except (OSError, ValueError) as error:
        raise _not_run(command, error) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status < 0:
        said = f"buildplug: {command[0]}: ended by signal {-status} ({signal.strsignal(-status) or 'unknown'})"
        print(said, file=sys.stderr, flush=True)
    return status if status >= 0 else 128 - status


def _not_run(command: list[str], error: Exception) -> BuildplugError:
    return BuildplugError(command[0], f"cannot be run: {getattr(error, 'strerror', None) or error}")
