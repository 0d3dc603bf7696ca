"""buildplug ld: its own help, as its words are a linker's and no parser of ours may take them."""

import sys

from buildplug.ld import wrapper

HELP = """\
usage: buildplug ld [--config FILE] [--arch NAME] [--ld PROGRAM] [--keep] [--relink] [--sysmap FILE]
                    [--sysmap-exclude GLOBS] [--empty NAME] LINKER-ARGUMENTS...
       buildplug ld [--config FILE] [--arch NAME] [--ld PROGRAM] [--keep] [--relink] --into DIR

Link in place of the linker: the output that has the name in [kernel] name of the configuration, or the one that Cargo
makes of it, gets tables; any other link is passed on to the linker as it is.

options, which stand before the linker's:
  --config FILE  the configuration, or its folder
  --arch NAME    the architecture; default: that in [kernel]
  --ld PROGRAM   the linker that links; default: that in [toolchain]
  --keep         keep what was made on the way in OUTPUT.buildplug: the draft, the tables' sources, a record
  --relink       link twice, with empty tables and with the true ones, as if nothing was known of them before; the image
                 is the same
  --sysmap FILE
                 also write Linux's System.map: the symbols of the output as nm -n and scripts/mksysmap make it
  --sysmap-exclude GLOBS
                 the names that are not in it, with spaces between; empty, and without this option: those that the
                 rules of Linux's kallsyms in the configuration exclude
  --empty NAME   link the output NAME with empty tables: what must exist before the kernel's own link, such as type
                 information, is made of it. The kernel's link takes the room of the tables from it
  --into DIR     write programs into DIR that are this command with these options, by the names that compiler drivers
                 look for: ld, ld.bfd, ld.lld, ... for gcc -B DIR, clang --ld-path=DIR/ld, LD=DIR/ld

environment:
  BUILDPLUG_CONFIG, BUILDPLUG_ARCH, BUILDPLUG_LD, BUILDPLUG_KEEP=1, BUILDPLUG_RELINK=1
                 the same, where the option is not given
  BUILDPLUG_MERGED=FILE
                 an object that is linked (-r) of the archives among the inputs, if there is one: where these have very
                 many objects, the first link takes the room of the tables from that, and is the only one
  BUILDPLUG_LD_INSIDE
                 set for the linker, so that a wrapper that calls itself ends

Without --config and BUILDPLUG_CONFIG the configuration is the first buildplug.toml of: beside the program as it was
called, in the folder of the output, in that of the package if Cargo links it, in the current folder, in its parents.

For the linker's own help: buildplug ld --ld PROGRAM --help
"""


def run(words: list[str], called: str) -> int:
    """Links; `called` is the path of the program as it was called. Returns the exit status. Raises BuildplugError.

    Help is ours only where no option of ours is given and the program has not taken a linker's name: build systems
    look for features in a linker's help.
    """
    if words in (["--help"], ["-h"]) and not called.endswith("buildplug-ld"):
        sys.stdout.write(HELP)
        return 0
    return wrapper.main(words, called)
