"""Whether anything has changed that a build depends on: a list of facts, compared one by one with what they are now.
And whether the files that builds have made are still what was written: a list of their stamps and digests.

The first is what a build with nothing to do consists of, so this imports nothing that takes time. It knows no passes;
what is to be noted is the caller's to say. Whatever cannot be told is a change; so is a list that is damaged.
"""

import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

NAME = ".stamps"  # of the list of facts, in the build directory
MADE = ".made"  # of the list of files that were made

_VARIABLE, _PROGRAM, _FILE, _FOLDER, _OPTION, _SAID = "variable", "program", "file", "folder", "option", "said"


def write(
    path: Path, started: int, *, options: Mapping[str, str], variables: Iterable[str], programs: Iterable[str],
    inputs: Iterable[str], made: Iterable[str], folders: Iterable[str], said: Iterable[str],
) -> None:  # fmt: skip
    """Notes what is true at the end of a build that `started` then, in nanoseconds: of environment variables, of the
    programs that it runs, of the files that it reads and makes, of folders in which a new file would be an input.
    `said`: what changed() returns. Notes nothing if an input was written meanwhile: maybe it was read before."""
    from buildplug.base.files import CLOCK

    inputs = set(inputs)
    if any(_written(name) >= started - CLOCK for name in inputs):
        return
    facts = [(_OPTION, name, value) for name, value in options.items()]
    facts += [(_VARIABLE, name, _variable(name)) for name in variables]
    facts += [(_PROGRAM, name, _program(name)) for name in programs]
    facts += [(_FILE, name, _file(name)) for name in sorted(inputs | set(made))]
    facts += [(_FOLDER, name, _folder(name)) for name in sorted(folders)]
    facts += [(_SAID, line, "") for line in said]
    _write(path, facts)


def options(config: Path, build: Path | None, arch: str) -> dict[str, str]:
    """The options of a build that choose what it builds; an empty one is not given."""
    return {"config": str(config.resolve()), "build": str(build.resolve()) if build else "", "arch": arch}


def unchanged(path: Path, options: Mapping[str, str]) -> list[str] | None:
    """What was `said` when the list was written, if all that it says is still true; else None."""
    facts = _read(path)
    given = {name: value for kind, name, value in facts if kind == _OPTION}
    if not facts or given != dict(options):
        return None
    if any(kind in _NOW and _NOW[kind](name) != value for kind, name, value in facts):
        return None
    return [name for kind, name, _ in facts if kind == _SAID]


def note_made(path: Path, names: Iterable[str]) -> None:
    """Notes the stamps and digests of the files that a build has made, or a build before it; not of missing ones."""
    from buildplug.base import files

    known = {name: (stamp, digest) for name, stamp, digest in _read(path)}
    rows = []
    for name, stamp in ((name, _file(name)) for name in sorted(names)):
        before, digest = known.get(name, ("", ""))
        if stamp:
            rows.append((name, stamp, digest if stamp == before else files.digest(Path(name))))
    _write(path, rows)


def remove_damaged(path: Path, names: Iterable[str]) -> set[str]:
    """Removes those of the files `names` that are not as they were noted, so that they are made anew. A copy, or a file
    that was only touched, still has the digest. Returns their names, with those of files that are missing."""
    from buildplug.base import files

    noted = {name: (stamp, digest) for name, stamp, digest in _read(path)}
    damaged = set()
    for name in noted.keys() & set(names):
        stamp, digest = noted[name]
        if _file(name) != stamp and not (Path(name).is_file() and files.digest(Path(name)) == digest):
            files.remove(Path(name))
            damaged.add(name)
    return damaged


def _write(path: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    from buildplug.base import files

    content = b"\0".join(os.fsencode(word) for row in rows for word in row)
    files.write(path, b"%08x\0" % zlib.crc32(content) + content)


def _read(path: Path) -> list[tuple[str, str, str]]:
    """The rows that _write() wrote; none if they are damaged or missing."""
    try:
        checksum, _, content = path.read_bytes().partition(b"\0")
    except OSError:
        return []
    words = os.fsdecode(content).split("\0")
    if checksum != b"%08x" % zlib.crc32(content) or len(words) % 3:
        return []
    return [*zip(words[::3], words[1::3], words[2::3], strict=True)]


def _variable(name: str) -> str:
    return f"={os.environ[name]}" if name in os.environ else ""


def _program(name: str) -> str:
    """Where a shell would find a program, and the stamp of that file; empty if nowhere."""
    for folder in [""] if "/" in name else os.get_exec_path():
        found = Path(folder, name)
        if found.is_file() and os.access(found, os.X_OK):
            return f"{found.absolute()} {_file(str(found))}"
    return ""


def _file(name: str) -> str:
    """What changes when a file is written or replaced; empty if it is missing."""
    try:
        said = Path(name).stat()
    except OSError:
        return ""
    return f"{said.st_size} {said.st_mtime_ns} {said.st_ctime_ns} {said.st_ino}"


def _folder(name: str) -> str:
    """What changes when a file is added to a folder."""
    try:
        return str(Path(name).stat().st_mtime_ns)
    except OSError:
        return ""


def _written(name: str) -> int:
    """When a file was written last, nanoseconds; 0 if it is missing."""
    try:
        return Path(name).stat().st_ctime_ns
    except OSError:
        return 0


_NOW: dict[str, Callable[[str], str]] = {_VARIABLE: _variable, _PROGRAM: _program, _FILE: _file, _FOLDER: _folder}
