"""Another program in place of this one. Imports next to nothing, as most links are passed on by it."""

import os
import sys

from buildplug.base.errors import BuildplugError


def exec_program(command: list[str], env: dict[str, str]) -> int:
    """Ends this program and runs another in its place: never returns. Raises BuildplugError if it cannot be run."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], command, env)
    except (OSError, ValueError) as error:
        raise _not_run(command, error) from None


def run(command: list[str], env: dict[str, str]) -> int:
    """Runs a program with our streams, passes on to it the signals that ask us to end, and returns its exit status as a
    shell has it. Raises BuildplugError if it cannot be run."""
    import signal  # not for exec_program()

    passed_on = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)  # until we know to whom
    try:
        # Python ignores SIGPIPE and SIGXFSZ, which no other program expects
        ignored = (signal.SIGPIPE, signal.SIGXFSZ)
        pid = os.posix_spawnp(command[0], command, env, setsigdef=ignored, setsigmask=before)
        for number in passed_on:
            signal.signal(number, lambda number, _: os.kill(pid, number))
    except (OSError, ValueError) as error:
        raise _not_run(command, error) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if status >= 0 else 128 - status


def _not_run(command: list[str], error: Exception) -> BuildplugError:
    return BuildplugError(command[0], f"cannot be run: {getattr(error, 'strerror', None) or error}")
