"""The passes of a build, as doit tasks over ninja. Knows no linker's options and no table's format.

A dodo.py of one's own gets them with `def task_kernel(): return buildplug.pipeline.tasks("buildplug.toml")`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def tasks(
    path: str | Path = "buildplug.toml", build: Path | None = None, *, arch: str = ""
) -> Iterator[dict[str, Any]]:
    """The doit tasks that build what the configuration at `path` says. Raises BuildplugError."""
    from buildplug.config.project import read
    from buildplug.pipeline.doit_tasks import Pipeline  # imports doit and numpy

    return Pipeline(read(Path(path), build, arch), explain=False).tasks()
