"""The results of rebuilds in varied environments: repro prints them as lines or JSON, and a report reads them again."""

from collections import Counter
from collections.abc import Iterator, Sequence

from buildplug.base.errors import printable
from buildplug.base.records import frozen

TOLD = 3  # places that summary() shows of an output
APART = 16  # places without symbols that are at most this many bytes apart count as one


@frozen
class Place:
    """Where two files differ. `part`: a section, or an archive member and a field of its header."""

    part: str
    symbol: str  # symbol+offset, in the control
    entry: str  # entry of a buildplug table
    offset: int  # in the control's file
    varied_offset: int
    length: int  # bytes from the first to the last difference; to the end of the part if its length differs
    control: str  # the first differing bytes, in hexadecimal
    varied: str
    texts: tuple[str, str]  # surrounding text, if it is text
    cause: str  # class of cause; empty if unknown

    @property
    def where(self) -> list[str]:
        return [text for text in (self.part, self.symbol, self.entry) if text] + [f"file offset {self.offset:#x}"]

    def is_in(self, others: Sequence["Place"]) -> bool:
        """Whether another comparison with the same control has this place: in the same symbol, at any offset; without
        a symbol, within APART bytes, as bytes at its ends may be equal by chance."""
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


@frozen
class Verdict:
    """Whether the outputs are the same under a variation."""

    variation: str
    about: str
    same: bool
    note: str  # evidence that it was varied; may be empty


@frozen
class Blame:
    """Why an output differs: one variation; several, only in combination; none: it differs from build to build."""

    variations: tuple[str, ...]
    build: str  # the build that differs from the control
    output: str
    sizes: tuple[int, int]  # bytes: control, other
    places: tuple[Place, ...]
    more: int  # how many places are omitted
    remedies: tuple[str, ...]

    @property
    def by(self) -> str:
        if not self.variations:
            return "at random, from build to build: nothing was varied"
        return f"by {' with '.join(self.variations)}"


@frozen
class Rebuilds:
    """The result of a comparison."""

    command: tuple[str, ...]
    outputs: dict[str, str]  # the control's: name -> SHA-256
    variations: tuple[Verdict, ...]
    not_varied: dict[str, str]  # variation -> why not
    blame: tuple[Blame, ...]
    kept: dict[str, str]  # build -> its tree, kept if outputs differ

    @property
    def reproducible(self) -> bool:
        return not self.blame

    @property
    def causes(self) -> dict[str, int]:
        """Class of cause -> number of `places`."""
        return dict(Counter(place.cause or "not known" for blame in self.blame for place in blame.places))

    @property
    def tests(self) -> dict[str, bool]:
        """What was varied in a build -> whether it equals the control."""
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
