"""All of the project's figures: `python -m bench`. The costs of building, of the fixup, of paravirt on bare hardware;
and if the small Linux is built (make test-linux), our tables and our link stage compared with its own.
"""

import sys

from bench import (
    cargo,
    costs,
    cycles,
    fixup,
    growth,
    ksyms,
    linux,
    long_names,
    loss,
    padding,
    pte_loop,
    small,
    xen_loss,
)
from buildplug.base.errors import BuildplugError
from tests.linux_image import LINUXES, cached


def main() -> None:
    costs.main([])
    small.main()
    growth.main()
    cargo.main()
    fixup.main()
    loss.main()
    xen_loss.main()
    cycles.main()
    pte_loop.main()
    padding.main()
    if cached() is None:
        print("no figures beside kallsyms of Linux 6.1: `make test-linux` builds it")
    else:
        ksyms.main([])
        long_names.main([])
    linux.main([one.stage.version for one in LINUXES if cached(one)])


if __name__ == "__main__":
    try:
        main()
    except BuildplugError as error:
        sys.exit(f"bench: {error}")
