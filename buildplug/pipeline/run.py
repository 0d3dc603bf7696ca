"""Runs the pipeline with doit, one build at a time in a build directory, with doit's state kept there."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from doit.control import TaskControl
from doit.dependency import Dependency, JsonDB, TimestampChecker
from doit.loader import generate_tasks
from doit.reporter import ZeroReporter
from doit.runner import Runner
from doit.task import Stream, Task

from buildplug.base import data, files, fingerprints
from buildplug.base.errors import BuildplugError
from buildplug.config import project, source_files
from buildplug.pipeline import made
from buildplug.pipeline.doit_tasks import PASSES, PassFailed, Pipeline
from buildplug.record import stamps
from buildplug.record.build import read_record

REASONS = {
    "has_no_dependencies": "asked each time",
    "missing_target": "missing",
    "changed_file_dep": "changed",
    "added_file_dep": "new input",
    "removed_file_dep": "no longer an input",
    "checker_changed": "the kind of check changed",
    "missing_file_dep": "an input is missing",
}
NOTHING_TO_DO = (f"{PASSES[0]}: runs: ninja decides", *(f"{name}: up to date" for name in PASSES[1:]))  # explained
SHOWN = 4  # files that an explanation names

Report = Callable[[str, str], None]  # (pass, what of it: "" when it starts)


class _StateFile(JsonDB):  # type: ignore[misc]
    """doit's state, written whole or not at all; a state that does not parse is no state."""

    def _load(self) -> dict[str, object]:
        try:
            state = json.loads(Path(self.name).read_text())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def dump(self) -> None:
        files.write(Path(self.name), json.dumps(self._db))


class _Reporter(ZeroReporter):  # type: ignore[misc]
    """Reports the passes, and keeps the error of the one that failed."""

    desc = "buildplug"

    def __init__(self, state: Dependency, all_tasks: dict[str, Task], started: Report, explained: Report):
        self.state, self.tasks, self.started, self.explained = state, all_tasks, started, explained
        self.failure: BuildplugError | None = None
        self.executed: list[str] = []

    def execute_task(self, task: Task) -> None:
        status = self.state.get_status(task, self.tasks, get_log=True)
        reasons = [_reason(*item) for item in status.reasons.items()]
        self.explained(task.name, f"runs: {'; '.join(filter(None, reasons))}")
        self.started(task.name, "")
        self.executed.append(task.name)

    def skip_uptodate(self, task: Task) -> None:
        self.explained(task.name, "up to date")
        self.started(task.name, "")

    def add_failure(self, task: Task, fail: object) -> None:
        if isinstance(fail, PassFailed):
            self.failure = fail.error
        else:
            self.failure = BuildplugError(task.name, str(getattr(fail, "message", fail)))
            self.failure.output = "".join(getattr(fail, "traceback", ""))


def _reason(reason: str, arguments: Any) -> str:
    if reason == "uptodate_false":
        checks = [check for check, *_ in arguments]
        return "ninja decides" if checks == [False] else "its settings changed"
    if isinstance(arguments, list):
        names = [Path(str(name)).name for name in sorted(arguments)]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return f"{REASONS[reason]}: {', '.join(names[:SHOWN])}{more}" if names else ""
    return REASONS[reason]


def build(
    path: Path,
    directory: Path | None,
    explain: Report | None,
    started: Report = lambda name, what: None,
    arch: str = "",
) -> Path:
    """Builds; returns the path of the record. Raises BuildplugError of the pass that failed."""
    began = time.time_ns()
    pipeline = Pipeline(project.read(path, directory, arch), explain is not None)
    with _locked(pipeline.config.build):
        made.remove_damaged(pipeline)
        state = Dependency(_StateFile, str(pipeline.config.build / project.STATE), checker_cls=TimestampChecker)
        tasks = [task for item in pipeline.tasks() for task in generate_tasks(item["basename"], item)]
        control = TaskControl(tasks)
        control.process(None)
        reporter = _Reporter(state, control.tasks, started, explain or (lambda name, what: None))
        try:
            Runner(state, reporter, stream=Stream(2)).run_all(control.task_dispatcher())
        finally:
            made.note(pipeline)
        if reporter.failure:
            raise reporter.failure
        if explain and {"draft", "relink"} & set(reporter.executed):
            record = read_record(pipeline.record_path)
            explain("links", f"{record.links}: {record.why}")
        options = stamps.options(path, directory, arch)
        _write_stamps(pipeline, began, options, control.tasks.values())
    return pipeline.record_path


def _write_stamps(pipeline: Pipeline, began: int, options: dict[str, str], tasks: Iterable[Task]) -> None:
    """Notes what this build depended on and made, so that the next one need not ask if nothing has changed."""
    c = pipeline.config
    read = {*pipeline.compiled_from, *data.own_files(), *(name for task in tasks for name in task.file_dep)}
    read = {os.path.normpath(path) for path in read}
    written = {*map(str, made.paths(pipeline)), str(c.build / stamps.MADE)}
    written |= {name for name in read if name.startswith(f"{c.build}{os.sep}")}
    stamps.write(
        c.build / stamps.NAME, began, options=options, variables=fingerprints.VARIABLES,
        programs=(c.toolchain.cc, c.toolchain.ld, *c.toolchain.launcher[:1], *c.table_programs),
        inputs=read - written, made=written,
        folders=map(str, source_files.folders(c.root, c.compile.sources, c.build)),
        said=[str(pipeline.record_path), *NOTHING_TO_DO],
    )  # fmt: skip


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Makes builds in one directory take turns, and removes the scratch files of killed builds."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for folder in (directory, directory / "gen", directory / "notes", *(directory / "obj").rglob("")):
                files.remove_scratch(folder)
            yield
    except OSError as error:
        raise BuildplugError(directory, f"cannot be written: {error.strerror}") from None
