"""All figures of the project: `python -m bench`. What building costs, what the fixup executes, what bare hardware
loses, and, if the small Linux is built (make test-linux), our tables and our link stage beside its own.
"""

import sys

from bench import costs, cycles, fixup, ksyms, linux, loss
from buildplug.base.errors import BuildplugError
from tests.linux_image import cached


def main() -> None:
    costs.main([])
    fixup.main()
    loss.main()
    cycles.main()
    if cached() is None:
        print("no figures beside Linux: `make test-linux` builds it")
        return
    ksyms.main([])
    linux.main()


if __name__ == "__main__":
    try:
        main()
    except BuildplugError as error:
        sys.exit(f"bench: {error}")
