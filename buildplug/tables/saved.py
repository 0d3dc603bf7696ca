"""The contents of a table in a file, from one process to another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from buildplug.arch.model import Arch
from buildplug.base.errors import BuildplugError
from buildplug.base.files import replacing
from buildplug.config.rule import Rule
from buildplug.image.headers import Array
from buildplug.tables.format import Contents
from buildplug.tables.registry import format_of

SAVED: dict[Any, tuple[Callable[[Any], Array], Callable[[Array], Any]]] = {  # type of a field -> to an array, and back
    Array: (np.asarray, np.asarray),
    bytes: (lambda data: np.frombuffer(data, "u1"), lambda kept: kept.tobytes()),
    int: (lambda value: np.array(str(value)), lambda kept: int(kept.item())),  # as text: of any size and sign
    tuple[int, ...]: (lambda values: np.array(list(map(str, values))), lambda kept: tuple(map(int, kept.tolist()))),
    tuple[str, ...]: (np.array, lambda kept: tuple(kept.tolist())),
    dict[str, Array]: (
        lambda columns: np.rec.fromarrays([*columns.values()], [(name, c.dtype) for name, c in columns.items()]),
        lambda kept: {name: kept[name] for name in kept.dtype.names or ()},
    ),
}


def save(contents: Contents, path: Path) -> None:
    """Saves contents, including names, for another process."""
    hints = get_type_hints(type(contents)).items()
    kept = {name: SAVED[hint][0](getattr(contents, name)) for name, hint in hints if hint in SAVED}
    with replacing(path) as scratch, scratch.open("wb") as file:
        np.savez(file, allow_pickle=False, **kept)


def load(path: Path, rule: Rule, arch: Arch) -> Contents:
    """Loads what save() wrote. Raises BuildplugError."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            kind, given = format_of(rule).contents, {"rule": rule, "arch": arch}
            hints = get_type_hints(kind).items()
            return kind(
                **{name: SAVED[hint][1](archive[name]) if hint in SAVED else given[name] for name, hint in hints}
            )
    except BuildplugError:
        raise
    except Exception as error:  # parsers may raise anything on corrupt bytes
        raise BuildplugError(path, f"expected extracted contents, found {error!r:.60}", "remove it") from None
