"""The configuration that a link belongs to, and what must be known of it to pass a link on."""

import os
import tomllib
from pathlib import Path

from buildplug.base.errors import BuildplugError
from buildplug.ld import cargo

NAME = "buildplug.toml"
PACKAGE = "CARGO_MANIFEST_DIR"  # the variable in which Cargo says the folder of a package


def find(named: str, called: str, output: str) -> Path:
    """The configuration: the one that is named, or the first of those beside the program as it was `called`, in the
    folder of the output, in that of the package if Cargo links it, in the current folder and its parents. Raises
    BuildplugError."""
    if named:
        return Path(named, NAME) if Path(named).is_dir() else Path(named)
    here = Path.cwd()
    package = os.environ.get(PACKAGE) if cargo.crate(output) else None
    packages = [Path(package)] if package else []
    for folder in (Path(called).parent, Path(output).parent, *packages, here, *here.parents):
        if (folder / NAME).is_file():
            return folder / NAME
    raise BuildplugError(
        here / NAME, "expected a configuration, found none", "name it with --config or BUILDPLUG_CONFIG", status=2
    )


def image_and_linker(config: Path, arch: str, ld: str) -> tuple[str, str]:
    """The name of the output that gets tables, empty if none does; and the linker, `ld` or the configuration's.

    Raises BuildplugError. If the file says both they are taken as they stand, as importing what checks it takes longer
    than most links: the kernel's own link has all of it checked.
    """
    image = linker = ""
    try:
        written = tomllib.loads(config.read_text())
        changed = {key for part in written.get("arch", {}).values() for key in part}
        if changed.isdisjoint(("kernel", "toolchain", "table")):
            image = written["kernel"]["name"] if written["table"] else ""
            linker = ld or written["toolchain"]["ld"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    if not (image and linker and isinstance(image, str) and isinstance(linker, str)):
        from buildplug.config.project import read_file

        file = read_file(config, arch)
        image, linker = file.kernel.name if file.table else "", ld or file.toolchain.ld
    in_folder = not ld and "/" in linker
    return image, str(config.absolute().parent / linker) if in_folder else linker
