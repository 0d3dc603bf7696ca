"""What was done: vmlinux.buildplug.json, put together from the notes of the passes."""

import json
import os
from pathlib import Path
from typing import Any

from buildplug import __version__
from buildplug.base import files, fingerprints
from buildplug.base.process import version
from buildplug.config.project import Config


def write_note(path: Path, note: dict[str, Any]) -> None:
    """Notes what a pass did, for the record. The note's time is the pass's own, as the record follows it."""
    files.write(path, json.dumps(note, indent=1, sort_keys=True) + "\n")
    os.utime(path)


def write_record(config: Config, notes: dict[str, Path], inputs: list[Path]) -> None:
    """Writes the record beside the image. `notes`: pass -> its note; `inputs`: files that made the image, of which
    those in the build directory are not named.

    links counts the runs of the linker that made this image.
    """
    passes = {name: json.loads(files.read(path)) for name, path in notes.items() if path.exists()}
    outputs = [config.image, config.draft, *sorted(config.generated.iterdir())]
    record = {
        "buildplug": __version__,
        "image": config.kernel.name,
        "arch": config.arch.name,
        "links": sum(note.get("links", 0) for note in passes.values()),
        "tables": passes["verify"]["tables"],
        "moved": passes["verify"]["moved"],
        "rewritten": passes["verify"]["rewritten"],
        "environment": fingerprints.variables(),
        "inputs": {name_of(config, path): files.digest(path) for path in inputs if not _within(path, config.build)},
        "outputs": {name_of(config, path): files.digest(path) for path in outputs},
        "tools": {tool: version(tool, config.root) for tool in (config.toolchain.cc, config.toolchain.ld)},
        "seconds": {name: note["seconds"] for name, note in passes.items()},
        "commands": {name: note["command"] for name, note in passes.items() if "command" in note},
    }
    files.write(config.build / f"{config.kernel.name}.buildplug.json", json.dumps(record, indent=1) + "\n")


def _within(path: Path, folder: Path) -> bool:
    return Path(os.path.normpath(path)).is_relative_to(folder)


def name_of(config: Config, path: Path) -> str:
    """How the record names a file: relative to the build directory or to the root, as it was named to tools; by its
    whole path if that is how tools found it."""
    for base in (config.build, config.root):
        if path.is_relative_to(base):
            return os.path.normpath(path.relative_to(base))
    return str(path)
