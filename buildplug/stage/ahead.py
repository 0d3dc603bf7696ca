"""What passes behind a link do at any rate, done while the linker runs: it leaves the other processors idle."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib import import_module

from buildplug.config.project import WantedTable
from buildplug.tables.registry import format_of

# What passes import only for tables with ops, as it takes long.
FOR_OPS = ("buildplug.backends.cache_lines", "buildplug.backends.clobbers", "buildplug.runtime.fixup")


def look_ahead(
    tables: Sequence[WantedTable], modules: Sequence[str] = (), cached: Callable[[], Iterable[object]] = tuple
) -> None:
    """Imports what the tables need, and `modules`; then goes through `cached`, whose results are kept where they are
    made. What fails is left to the pass that needs it, which says why."""
    with suppress(Exception):
        for name in (*modules, *(FOR_OPS if any(table.ops for table in tables) else ())):
            import_module(name)
        for table in tables:
            format_of(table.rule)
        deque(cached(), maxlen=0)
