"""The record of a build, vmlinux.buildplug.json, and the notes of the passes that it is made from."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from buildplug import __version__
from buildplug.base import files, fingerprints
from buildplug.base.errors import BuildplugError
from buildplug.base.process import version
from buildplug.base.records import frozen
from buildplug.base.schema import convert
from buildplug.config.project import Config
from buildplug.stage.notes import Assembled, Compiled, Extracted, Generated, Linked, TableRecord, Verified

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RECORD = ".buildplug.json"  # its name behind that of the image

Note = TypeVar("Note")


@frozen
class Timed:
    """The field that every note has in addition to its pass's own."""

    seconds: float


@frozen
class Recorded:
    """The note of the pass that writes the record. digest: SHA-256 of the record."""

    digest: str


# pass -> type of its note
NOTES: dict[str, type[Any]] = {
    "compile": Compiled, "draft": Linked, "extract": Extracted, "generate": Generated, "assemble": Assembled,
    "relink": Linked, "verify": Verified, "record": Recorded,
}  # fmt: skip


@frozen(kw_only=True)
class BuildRecord:
    """The record of a build. links: linker runs that made this image; tables: by rule; inputs, outputs: name ->
    SHA-256; tools: name -> version; seconds, commands: by pass."""

    buildplug: str
    image: str
    arch: str
    links: int
    why: str = ""  # the reason for that number of links
    tables: dict[str, TableRecord]
    moved: tuple[str, ...]
    rewritten: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str]
    outputs: dict[str, str]
    tools: dict[str, str]
    seconds: dict[str, float]
    commands: dict[str, tuple[str, ...] | tuple[tuple[str, ...], ...]] = field(default_factory=dict)


def write_note(path: Path, note: "DataclassInstance", seconds: float) -> None:
    """Writes a pass's note. Updates its mtime even if the content is unchanged, as the record depends on it."""
    said = asdict(note) | {"seconds": round(seconds, 3)}
    files.write(path, json.dumps(said, sort_keys=True) + "\n")  # with an indent, Python encodes it, not C
    os.utime(path)


def read_note(path: Path, kind: type[Note]) -> Note | None:
    """Reads a pass's note; None if it is missing or damaged: the pass must run again."""
    try:
        found: Note = _note_of(files.read_text(path), cast(Any, kind))
        return found
    except (BuildplugError, ValueError, RecursionError):
        return None


@lru_cache(maxsize=2 * len(NOTES))  # a build asks several times
def _note_of(text: str, kind: type[Any]) -> Any:
    return convert(kind, json.loads(text), "a note", strict=False)


def write_record(config: Config, path: Path, notes: dict[str, Path], inputs: Iterable[Path]) -> Recorded:
    """Writes the record of a build. `notes`: pass -> path of its note; `inputs`: files that the image was made from;
    those in the build directory are omitted. Raises BuildplugError."""

    def noted(name: str, kind: type[Note]) -> Note:
        found = read_note(notes[name], kind)
        if found is None:
            raise BuildplugError(notes[name], "expected the note of a pass, found none", "build again")
        return found

    verified, assembled = noted("verify", Verified), noted("assemble", Assembled)
    links = {name: noted(name, Linked) for name in ("draft", "relink")}
    outputs = [config.image, config.draft, *sorted(config.generated.iterdir())]
    record = BuildRecord(
        buildplug=__version__,
        image=config.kernel.name,
        arch=config.arch.name,
        links=sum(link.links for link in links.values()),
        why=links["relink"].why or links["draft"].why,
        tables=verified.tables,
        moved=verified.moved,
        rewritten=verified.rewritten,
        environment=fingerprints.variables(),
        inputs={name_of(config, p): files.digest(p) for p in inputs if not _within(p, config.build)},
        outputs={name_of(config, p): files.digest(p) for p in outputs},
        tools=tools(config),
        seconds={name: noted(name, Timed).seconds for name in notes if name != "record"},
        commands={"assemble": assembled.command} | {name: link.command for name, link in links.items() if link.command},
    )
    files.write(path, json.dumps(asdict(record), indent=1) + "\n")
    return Recorded(files.digest(path))


def tools(config: Config) -> dict[str, str]:
    """The versions of the compiler and the linker; asked once."""
    return {tool: version(tool, config.root) for tool in (config.toolchain.cc, config.toolchain.ld)}


def parse_record(path: Path, data: object) -> BuildRecord:
    """Converts a record from JSON; ignores the keys of later versions. Raises BuildplugError."""
    return convert(BuildRecord, data, str(path), strict=False)


def read_json(path: Path) -> object:
    """The content of a JSON file. Raises BuildplugError."""
    try:
        found: object = json.loads(files.read_text(path))
    except (ValueError, RecursionError) as error:
        raise BuildplugError(path, f"expected a record as JSON, found: {error}", "build again") from None
    return found


def read_record(path: Path) -> BuildRecord:
    """Reads the record of a build. Raises BuildplugError."""
    return parse_record(path, read_json(path))


def _within(path: Path, folder: Path) -> bool:
    return Path(os.path.normpath(path)).is_relative_to(folder)


def name_of(config: Config, path: Path) -> str:
    """A file's name in the record: its path as given to tools, relative to the build directory or the root; unchanged
    if it is in neither."""
    for base in (config.build, config.root):
        if path.is_relative_to(base):
            return os.path.normpath(path.relative_to(base))
    return str(path)
