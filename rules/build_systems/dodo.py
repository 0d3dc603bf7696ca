"""For doit: `doit -f $(buildplug path doit) -d DIR` builds the kernel in DIR, pass by pass. Or copy this file."""

from pathlib import Path

from buildplug.pipeline import tasks


def task_kernel():
    yield from tasks(Path.cwd() / "buildplug.toml")
