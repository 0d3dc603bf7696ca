"""What passes behind a link do at any rate, done while the linker runs: it leaves the other processors idle."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module

from buildplug.config.project import WantedTable

# What passes import only for tables with ops, as it takes long.
FOR_OPS = ("buildplug.backends.cache_lines", "buildplug.backends.clobbers", "buildplug.runtime.fixup")


def look_ahead(tables: Sequence[WantedTable], more: Callable[[], object] = lambda: None) -> None:
    """Imports what the tables need, and calls what leaves its results in a cache. What fails is left to the pass that
    needs it, which says why."""
    with suppress(Exception):
        for name in FOR_OPS if any(table.ops for table in tables) else ():
            import_module(name)
        more()
