"""The programs that make an image, as provenance lists them: file, digest, version, package."""

import platform
import shutil
from pathlib import Path
from urllib.parse import quote

from buildplug import __version__
from buildplug.base import files, fingerprints
from buildplug.base.errors import BuildplugError
from buildplug.base.process import run, version
from buildplug.base.records import frozen
from buildplug.config.project import Config


@frozen
class Program:
    """path: of the file itself, symlinks resolved; package: its URL, empty if no package owns the file. buildplug is
    not a single file: its path is None, its digest fingerprints.own_digest()."""

    path: Path | None
    sha256: str
    version: str
    package: str


def programs(config: Config) -> dict[str, Program]:
    """The programs that compile, assemble and link, by role. Their shared libraries are not included.

    Raises BuildplugError if one is missing.
    """
    tools, root = config.toolchain, config.root
    names = {"cc": tools.cc, "ld": tools.ld} | ({"launcher": tools.launcher[0]} if tools.launcher else {})
    names |= {name: name for name in config.table_programs}
    for part in ("cc1", "as"):
        said = run([tools.cc, *config.compile.cflags, f"-print-prog-name={part}"], root, f"say which {part} it runs")
        if _find(said.output.strip(), root) is None:
            break  # clang: one program compiles and assembles
        names[part] = said.output.strip()
    found = {name: _program(program, root) for name, program in sorted(names.items())}
    return {"buildplug": Program(None, fingerprints.own_digest(), __version__, "")} | found


def _find(name: str, root: Path) -> str | None:
    return shutil.which(str(root / name) if "/" in name else name)


def _program(name: str, root: Path) -> Program:
    where = _find(name, root)
    if where is None:
        raise BuildplugError(name, "expected a program, found none", "install it, or name another in [toolchain]")
    path = Path(where).resolve()
    return Program(path, files.digest(path), version(where, root), _package(path, root))


def _package(path: Path, root: Path) -> str:
    """The package URL of the Debian package that owns a file; empty if there is none."""
    try:
        owner = run(["dpkg-query", "--search", path], root, "find a package").output.partition(": ")[0]
        form = "--showformat=${Package} ${Version} ${Architecture}"
        name, release, machine = run(["dpkg-query", "--show", form, owner], root, "say its version").output.split()
        vendor = platform.freedesktop_os_release()["ID"]
    except (BuildplugError, ValueError, OSError):  # not Debian's, or no dpkg
        return ""
    return f"pkg:deb/{vendor}/{name}@{quote(release)}?arch={machine}"
