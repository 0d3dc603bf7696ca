"""What rebuilds in varied surroundings showed: what repro finds, prints as lines or JSON, and a report reads again."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from buildplug.base.errors import printable

TOLD = 3  # places of an output in the lines
APART = 16  # equal bytes between two places that no symbol tells apart


@dataclass(frozen=True)
class Place:
    """Where two files differ. `part` is a section, or a member of an archive and a field of its header."""

    part: str
    symbol: str  # and the offset in it, in the control
    entry: str  # of a table of buildplug's
    offset: int  # in the control's file
    varied_offset: int
    length: int  # bytes there, from the first to the last that differ; to the end of the part if its length does
    control: str  # the first bytes that differ, in hexadecimal
    varied: str
    texts: tuple[str, str]  # around the place, if it is text
    cause: str  # class of cause; empty if it is not known

    @property
    def where(self) -> list[str]:
        return [text for text in (self.part, self.symbol, self.entry) if text] + [f"file offset {self.offset:#x}"]

    def is_in(self, others: Sequence["Place"]) -> bool:
        """Whether it is one of the places of another comparison with the same control. Of a symbol it is, whatever its
        bytes are; else it may begin before or behind that place, where bytes are equal by chance."""
        name = self.symbol.partition("+")[0]
        return any(
            other.part == self.part
            and other.symbol.partition("+")[0] == name
            and (
                bool(name)
                or (
                    other.offset - APART <= self.offset + self.length
                    and self.offset - APART <= other.offset + other.length
                )
            )
            for other in others
        )


@dataclass(frozen=True)
class Verdict:
    """Whether the outputs are the same under a variation."""

    variation: str
    about: str
    same: bool
    note: str  # what shows that it was varied; empty if nothing does


@dataclass(frozen=True)
class Blame:
    """Why an output differs: by one variation; by several, only together; or, if there is none, from build to build."""

    variations: tuple[str, ...]
    build: str  # that differs from the control
    output: str
    sizes: tuple[int, int]  # bytes, of the control and of the other
    places: tuple[Place, ...]
    more: int  # places beyond those
    remedies: tuple[str, ...]

    @property
    def by(self) -> str:
        return f"by {' with '.join(self.variations)}" if self.variations else "from build to build, nothing varied"


@dataclass(frozen=True)
class Rebuilds:
    """What a comparison found."""

    command: tuple[str, ...]
    outputs: dict[str, str]  # of the control: SHA-256
    variations: tuple[Verdict, ...]
    not_varied: dict[str, str]  # variation -> why
    blame: tuple[Blame, ...]
    kept: dict[str, str]  # build -> its tree, if outputs differ

    @property
    def reproducible(self) -> bool:
        return not self.blame

    @property
    def causes(self) -> dict[str, int]:
        """How many of the places shown have a cause of that class."""
        return dict(Counter(place.cause or "not known" for blame in self.blame for place in blame.places))

    @property
    def tests(self) -> dict[str, bool]:
        """The builds that were compared with the control, by what was varied in them -> whether they were the same."""
        names = [verdict.variation for verdict in self.variations]
        if self.reproducible:
            return {" with ".join(names) or "nothing varied": True}
        wrong = [" with ".join(blame.variations) or "nothing varied" for blame in self.blame]
        return dict.fromkeys(["nothing varied", *names], True) | dict.fromkeys(wrong, False)


def summary(result: Rebuilds) -> Iterator[str]:
    """The result as lines."""
    yield f"varied: {', '.join(verdict.variation for verdict in result.variations) or 'nothing'}"
    yield from (f"{verdict.variation}: {verdict.note}" for verdict in result.variations if verdict.note)
    reasons: dict[str, list[str]] = {}
    for name, why in result.not_varied.items():
        reasons.setdefault(why, []).append(name)
    yield from (printable(f"not varied: {', '.join(names)} because {why}") for why, names in reasons.items())
    if not reasons:
        yield "not varied: nothing"
    wrong = {blame.output for blame in result.blame}
    for output, digest in result.outputs.items():
        yield printable(f"{output}: {'differs' if output in wrong else f'the same in every build, SHA-256 {digest}'}")
    for blame in result.blame:
        yield printable(f"{blame.output} differs {blame.by}: {blame.sizes[0]} and {blame.sizes[1]} bytes")
        for place in blame.places[:TOLD]:
            yield printable(f"  {', '.join(place.where)}: {place.cause or 'cause not known'}")
            for side, data, text in zip(("control", "varied"), (place.control, place.varied), place.texts, strict=True):
                yield printable(f"    {side}: {data}" + (f" {text!r}" if text else ""))
        more = blame.more + len(blame.places[TOLD:])
        if more:
            yield f"  and {more} places more"
        yield from (printable(f"  {remedy}") for remedy in blame.remedies)
    for name, tree in result.kept.items():
        yield printable(f"kept: {name} in {tree}")
