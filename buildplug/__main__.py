"""The program: python -m buildplug, and the commands that are installed.

Imports nothing before an early Ctrl-C ends it without a traceback. One that comes while Python itself starts is
Python's to report.
"""

import sys


def build() -> None:
    """buildplug"""
    _run([])


def link() -> None:
    """buildplug-ld: the one word that build systems want of a linker."""
    _run(["ld"])


def _run(command: list[str]) -> None:
    try:
        import signal  # takes longer than what was before

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, and stays so
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    except KeyboardInterrupt:
        sys.exit(130)
    from buildplug.cli.main import main

    sys.exit(main([*command, *sys.argv[1:]]))


if __name__ == "__main__":
    build()
