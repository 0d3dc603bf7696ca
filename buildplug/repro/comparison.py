"""Builds a project repeatedly in varied environments, and compares the outputs bit for bit.

Each build uses a copy; the project itself is only read. First comes the control, then a build with everything varied.
If that is equal, no variation matters. Otherwise: the control again, each variation alone, then the remaining ones
together, with the places where the outputs differ.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from buildplug.base import files
from buildplug.base.errors import BuildplugError
from buildplug.base.process import environment, run_isolated
from buildplug.base.records import frozen
from buildplug.record.rebuilds import Blame, Place, Rebuilds, Verdict
from buildplug.repro import builder, vary
from buildplug.repro.blame import REMEDIES, compare
from buildplug.repro.builder import KEPT, Project
from buildplug.repro.settings import Settings, Workspace
from buildplug.repro.vary import Variation

SHOWN = 8  # places of an output in a result
Progress = Callable[[str], None]
Baseline = dict[str, list[Place]]  # output -> where it differs between builds without variation


def repro(wanted: Project, specs: Sequence[str], work: Path, progress: Progress = lambda what: None) -> Rebuilds:
    """Builds the project in varied environments in the new folder `work`, and compares. Raises BuildplugError if a
    build fails or an output is missing. Nothing stays running or mounted, however it ends; only builds that differ are
    kept."""
    with builder.interruptible(), builder.temporary_workspace(work, wanted, environment()) as workspace:
        variations, not_varied = vary.chosen(specs, workspace)
        return _Comparison(wanted, workspace, variations, not_varied, progress).result()


@frozen
class _Built:
    """A finished build: its tree, and its outputs: path -> SHA-256."""

    tree: Path
    digests: dict[str, str]


class _Comparison:
    """One run of the comparison."""

    def __init__(
        self,
        wanted: Project,
        workspace: Workspace,
        variations: list[Variation],
        not_varied: dict[str, str],
        progress: Progress,
    ):
        self.project, self.workspace, self.variations, self.progress = wanted, workspace, variations, progress
        self.not_varied = not_varied
        self.notes: dict[str, str] = {}
        self.blamed: list[Blame] = []
        self.kept: list[Path] = []

    def result(self) -> Rebuilds:
        names = frozenset(variation.name for variation in self.variations)
        self.control = self._build("control", frozenset())
        try:
            together = self._build("varied" if len(names) != 1 else min(names), names)
        except BuildplugError:
            for name in sorted(names) if len(names) > 1 else ():  # find the variation that breaks the build
                self._drop(self._build(name, frozenset({name})))
            raise
        if together.digests == self.control.digests:
            self._drop(together)
            self._drop(self.control)
        else:
            self._find(names, together)
        kept = {path.name: str(path) for path in (self.control.tree, *self.kept) if self.blamed}
        wrong = {name for blame in self.blamed for name in blame.variations}
        used = [variation for variation in self.variations if variation.name not in self.not_varied]
        verdicts = tuple(Verdict(v.name, v.about, v.name not in wrong, self.notes.get(v.name, "")) for v in used)
        return Rebuilds(self.project.command, self.control.digests, verdicts, self.not_varied, tuple(self.blamed), kept)

    def _find(self, names: frozenset[str], together: _Built) -> None:
        """Finds which variations make the outputs differ."""
        again = self._build("again", frozenset())
        baseline = {output: self._places(again, output, {}) for output in self._differing(again)}
        self._blame((), again, {})
        rest = names
        for name in (variation.name for variation in self.variations):
            alone = self._build(name, frozenset({name})) if len(names) > 1 else together
            if self._blame((name,), alone, baseline):
                rest -= {name}
        if len(rest) > 1:
            self._find_together(rest, baseline)
        if not self.blamed:
            self._blame((), together, baseline)  # it differed once, but not again
        elif together.tree not in self.kept:
            self._drop(together)

    def _find_together(self, rest: frozenset[str], baseline: Baseline) -> None:
        """Finds a minimal set of variations that make the outputs differ only in combination, if there is one."""
        confirmed = self._build("together", rest)
        if self._differs(confirmed, baseline):
            for name in sorted(rest):
                fewer = self._build("fewer", rest - {name})
                if self._differs(fewer, baseline):
                    rest -= {name}
                self._drop(fewer)
            confirmed = self._build("together", rest)
        self._blame(tuple(sorted(rest)), confirmed, baseline)

    def _differing(self, built: _Built) -> list[str]:
        return [name for name, digest in self.control.digests.items() if built.digests[name] != digest]

    def _places(
        self, built: _Built, output: str, baseline: Baseline, known: str = "", *, random: bool = False
    ) -> list[Place]:
        """Where an output differs from the control's, except where it also differs without variation."""
        found = compare(self.control.tree / output, built.tree / output, self.project.rules, known, random=random)
        return [place for place in found if not place.is_in(baseline.get(output, ()))]

    def _differs(self, built: _Built, baseline: Baseline) -> bool:
        return any(self._places(built, output, baseline) for output in self._differing(built))

    def _blame(self, names: tuple[str, ...], built: _Built, baseline: Baseline) -> bool:
        """Records where a build differs, and keeps it; drops it otherwise. Returns whether it differs."""
        known = vary.BY_NAME[names[0]].cause if len(names) == 1 else ""
        found = False
        for output in self._differing(built):
            places = self._places(built, output, baseline, known, random=not names)
            if places:
                found = True
                shown = tuple(places[:SHOWN])
                sizes = tuple((tree / output).stat().st_size for tree in (self.control.tree, built.tree))
                causes = dict.fromkeys(place.cause for place in shown)
                if len(causes) > 1:
                    causes.pop("build-id", None)  # it follows from the others
                remedies = tuple(f"{cause}: {REMEDIES[cause]}" for cause in causes if cause in REMEDIES)
                self.blamed.append(
                    Blame(
                        names, built.tree.name, output, (sizes[0], sizes[1]), shown, len(places) - len(shown), remedies
                    )
                )
        if found:
            self.kept.append(built.tree)
        else:
            self._drop(built)
        return found

    def _drop(self, built: _Built) -> None:
        builder.remove(built.tree)

    def _build(self, name: str, varied: frozenset[str]) -> _Built:
        """Builds with these variations. Raises BuildplugError, which names them."""
        self.progress(name)
        settings = vary.settings_of(self.workspace, self.variations, varied)
        kept = self.workspace.work / KEPT / name
        try:
            for path in filter(None, (settings.ccache, settings.distcc)):
                builder.remove(path)
            for _ in range(2 if settings.ccache else 1):  # the first fills the cache
                tree = builder.build(self.project, self.workspace, settings)
            digests = builder.digests(self.project, tree)
            odd = sorted(digests.keys() ^ (digests if name == "control" else self.control.digests).keys())
            if odd:
                build = "this build" if odd[0] in digests else "the control"
                raise BuildplugError(odd[0], f"expected in every build, found only in {build}", "name it with --output")
        except BuildplugError as error:
            what = f"the build with {', '.join(sorted(varied))} varied" if varied else "the control build"
            remedy = f"--vary=-{min(varied)} leaves it out" if len(varied) == 1 else ""
            raise BuildplugError(what, str(error), remedy, output=error.output) from None
        self._note(settings)
        builder.remove(kept)
        tree.rename(kept)
        return _Built(kept, digests)

    def _note(self, settings: Settings) -> None:
        """Records how often a launcher or a cache was used; if never, the variation counts as not varied."""
        done: dict[str, tuple[int, str]] = {}
        if settings.distcc:
            log = files.read(settings.distcc) if settings.distcc.exists() else b""
            done["launcher"] = log.count(b" COMPILE_OK "), "compilations by distccd"
        if settings.ccache:
            stats = run_isolated(["ccache", "--print-stats"], self.workspace.work, "count its hits", settings.env)
            counts = dict(line.split("\t")[:2] for line in stats.output.splitlines() if "\t" in line)
            hits = sum(int(counts.get(f"{mode}_cache_hit", 0)) for mode in ("direct", "preprocessed"))
            done["cache"] = hits, "objects out of ccache"
        for name, (count, what) in done.items():
            self.notes[name] = f"{count} {what}"
            if not count:
                self.not_varied[name] = f"there were no {what}: it takes a compiler that is found through PATH"
