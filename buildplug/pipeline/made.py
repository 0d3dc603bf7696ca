"""The files that the passes make: noted, so that another build can prove them."""

from pathlib import Path

from buildplug.base import files
from buildplug.config.project import STATE
from buildplug.pipeline import ninja
from buildplug.pipeline.doit_tasks import Pipeline
from buildplug.pipeline.link import depfile_of
from buildplug.record import stamps
from buildplug.stage.build import blob_path


def paths(pipeline: Pipeline) -> list[Path]:
    """All of them, doit's and ninja's among them; but not those that each build writes anew."""
    c, s = pipeline.config, pipeline.linking
    linked = [pipeline.draft_link, pipeline.relinked]
    tables = [*s.extracted, *s.texts, *map(blob_path, s.texts), s.anchors, *s.stub_objects, *s.objects]
    results = [c.image, c.draft, pipeline.record_path, *pipeline.notes.values()]
    states = [c.build / name for name in (STATE, *ninja.MADE)]
    runtime = [*(c.generated / name for name in pipeline.runtime), *s.stubs, *map(blob_path, s.stubs)]
    return [*pipeline.objects, *runtime, *tables, *linked, *map(depfile_of, linked), *results, *states]


def note(pipeline: Pipeline) -> None:
    """Notes what they are."""
    stamps.note_made(pipeline.config.build / stamps.MADE, map(str, paths(pipeline)))


def remove_damaged(pipeline: Pipeline) -> None:
    """Removes what is not as it was made, so that it is made anew."""
    damaged = stamps.remove_damaged(pipeline.config.build / stamps.MADE, map(str, paths(pipeline)))
    beside = [(blob_path(text), text) for text in (*pipeline.linking.texts, *pipeline.linking.stubs)]
    beside += [(depfile_of(image), image) for image in (pipeline.draft_link, pipeline.relinked)]
    for path, target in beside:
        if str(path) in damaged:  # the two are made together, and doit knows only the target
            files.remove(target)
