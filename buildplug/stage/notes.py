"""The notes that passes leave for the record and for later passes, possibly in another process."""

from dataclasses import field

from buildplug.base.records import frozen


@frozen
class Compiled:
    """Something was compiled. runtime: names of the runtime's sources; settings: SHA-256 of them and of all that
    decides them, but for the user's templates."""

    settings: str = ""
    runtime: tuple[str, ...] = ()


@frozen
class Generated:
    """Sources were generated."""


@frozen
class Linked:
    """A link. links: linker runs, 0 if the pass had nothing to link; why: for a draft, why its tables are empty; for a
    relink, why it was or was not needed; inputs: the files that added the tables, name -> SHA-256; settings: a digest
    of everything else that determined those files."""

    command: tuple[str, ...] = ()
    links: int = 1
    why: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    settings: str = ""


@frozen
class Found:
    """What was extracted for a table. ignored: how many references its rule ignores, by kind."""

    rows: int
    ignored: dict[str, int]

    @property
    def left(self) -> str:
        """What the rule leaves out, with counts."""
        return ", ".join(f"{count} {kind}" for kind, count in self.ignored.items())

    def problem(self, wanted: str) -> str:
        """What is wrong with a table without rows; "" if it has some. `wanted`: the kind of rows."""
        left = f" (left alone: {self.left})" if self.ignored else ""
        found = f"the table is empty: expected {wanted}, found 0{left}"
        return "" if self.rows else found


@frozen
class Extracted:
    """tables: by rule."""

    tables: dict[str, Found]


@frozen
class Assembled:
    """command: one for each source."""

    command: tuple[tuple[str, ...], ...]


@frozen
class TableRecord:
    """A table of the final image. ops: names of the ops that its rows refer to, by number; targets: backend -> op ->
    what cache_lines.about() returns; believed: backend -> op -> what its code is said to write, which is not proved."""

    symbol: str
    section: str
    rows: int
    bytes: int
    ops: tuple[str, ...] = ()
    targets: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    believed: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)


@frozen
class Verified:
    """tables: by rule; moved: what the linker moved inside sections; rewritten: rules whose tables were corrected in
    place; image: fingerprints.stamp() of the final image."""

    tables: dict[str, TableRecord]
    moved: tuple[str, ...]
    rewritten: tuple[str, ...]
    sections: int  # how many were compared
    image: tuple[int, ...]


@frozen
class Done:
    """All passes together. links: linker runs that made the image; why: the reason for that number."""

    verified: Verified
    links: int
    why: str
