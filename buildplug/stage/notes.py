"""What the passes note of their work: for the record, and for passes that run later, maybe in another process."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Compiled:
    """Something was compiled."""


@dataclass(frozen=True)
class Generated:
    """Texts were rendered."""


@dataclass(frozen=True)
class Linked:
    """A link. links: runs of the linker, none if the pass had nothing to link; why: of a draft, why it is with empty
    tables, of a relink, why it was needed, or why not; inputs: the files that brought the tables, name -> SHA-256;
    settings: a digest of what else made those."""

    command: tuple[str, ...] = ()
    links: int = 1
    why: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    settings: str = ""


@dataclass(frozen=True)
class Found:
    """What an image gave for a table. ignored: the references that its rule ignores, by kind."""

    rows: int
    ignored: dict[str, int]


@dataclass(frozen=True)
class Extracted:
    """By rule."""

    tables: dict[str, Found]


@dataclass(frozen=True)
class Assembled:
    """A command for each text."""

    command: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class TableRecord:
    """A table of the final image. ops: the names of those that its rows refer to, by number; targets: backend -> op ->
    what cache_lines.about() says."""

    symbol: str
    section: str
    rows: int
    bytes: int
    ops: tuple[str, ...] = ()
    targets: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Verified:
    """tables: by rule; moved: what the linker moved inside of sections; rewritten: the rules whose tables were made
    true in place; image: fingerprints.stamp() of the final image."""

    tables: dict[str, TableRecord]
    moved: tuple[str, ...]
    rewritten: tuple[str, ...]
    sections: int  # that were compared
    image: tuple[int, ...]


@dataclass(frozen=True)
class Done:
    """All passes at once. links: runs of the linker that made the image; why: why as many."""

    verified: Verified
    links: int
    why: str
