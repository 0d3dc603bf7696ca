"""What rebuilds in varied surroundings showed, as a report speaks of it: the result that repro prints as JSON."""

from collections import Counter
from dataclasses import dataclass

from buildplug.errors import printable


@dataclass(frozen=True)
class Verdict:
    """Whether the outputs are the same under a variation. note: what shows that it was varied, if anything does."""

    variation: str
    about: str
    same: bool
    note: str = ""


@dataclass(frozen=True)
class Place:
    """Where an output differs: a part of the file, a symbol in it, an entry of a table, and bytes in hexadecimal."""

    part: str
    offset: int
    symbol: str = ""
    entry: str = ""
    control: str = ""
    varied: str = ""
    texts: tuple[str, ...] = ()
    cause: str = ""

    @property
    def where(self) -> str:
        return ", ".join(filter(None, (self.part, self.symbol, self.entry))) or f"+{self.offset:#x}"


@dataclass(frozen=True)
class Blame:
    """Why an output differs: by these variations; without any, from build to build. more: places beyond those."""

    variations: tuple[str, ...]
    output: str
    places: tuple[Place, ...]
    more: int = 0
    remedies: tuple[str, ...] = ()

    @property
    def by(self) -> str:
        return " with ".join(self.variations) or "nothing that was varied: from build to build"


@dataclass(frozen=True)
class Rebuilds:
    """The result. outputs: of the control, name -> SHA-256; not_varied: variation -> why."""

    command: tuple[str, ...]
    outputs: dict[str, str]
    variations: tuple[Verdict, ...]
    not_varied: dict[str, str]
    blame: tuple[Blame, ...]

    @property
    def causes(self) -> dict[str, int]:
        """How many of the places shown have a cause of that class."""
        return dict(Counter(place.cause or "not known" for blame in self.blame for place in blame.places))


def summary(result: Rebuilds) -> str:
    """The result in a few lines for a terminal."""
    differ = {blame.output for blame in result.blame}
    lines = [f"{name}: {'differs' if name in differ else 'the same in every build'}" for name in result.outputs]
    lines += [f"  {v.variation}: {'the same' if v.same else 'differs'}" for v in result.variations]
    lines += [f"  {name}: not varied: {why}" for name, why in result.not_varied.items()]
    for blame in result.blame:
        lines.append(f"{blame.output} differs by {blame.by}:")
        lines += [f"  {place.where}: {place.cause or 'cause not known'}" for place in blame.places]
        lines += [f"  and {blame.more} places more"] if blame.more else []
    return "\n".join(map(printable, lines))
