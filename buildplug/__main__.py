"""The program: python -m buildplug, and what the installed commands start.

Imports nothing before an early Ctrl-C ends it without a traceback. One that comes while Python itself starts is
Python's to report, unless it is started with SIGINT blocked, as the programs of bin/ and of `ld --into` do.
"""

import sys


def start() -> None:
    """buildplug-start: of bin/, whose name comes first."""
    del sys.argv[0]
    run()


def run() -> None:
    """python -m buildplug"""
    try:
        import signal  # takes longer than what was before

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, and stays so
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
    except KeyboardInterrupt:
        sys.exit(130)
    import contextlib
    import gc
    import os

    if None in (sys.stdin, sys.stdout, sys.stderr):
        _reopen()
    gc.set_threshold(100_000)  # there are few cycles to find, and at its default the search takes a tenth of a link
    from buildplug.cli.main import main

    status = main(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # main() has reported what it could not write
            stream.flush()
    os._exit(status)  # to take down all modules takes a tenth of a small link


def _reopen() -> None:
    """Opens the standard streams that were closed when the program was started, so that no file takes their place."""
    import os

    while (opened := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(opened, True)
    os.close(opened)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


if __name__ == "__main__":
    run()
