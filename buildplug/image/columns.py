"""Records as an array for each field, for what looks at some fields of all of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np

from buildplug.image.headers import Array


class Columns:
    """Arrays of one length, by name."""

    def __init__(self, **columns: Array):
        self._columns = columns

    @classmethod
    def zeros(cls, kinds: Mapping[str, str], count: int) -> "Columns":
        """So many records of zeros; `kinds`: the type of each column."""
        return cls(**{name: np.zeros(count, kind) for name, kind in kinds.items()})

    @classmethod
    def joining(cls, parts: Sequence["Columns"]) -> "Columns":
        """The records of several, one after the other."""
        return cls(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]._columns})

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    @overload
    def __getitem__(self, wanted: str) -> Array: ...

    @overload
    def __getitem__(self, wanted: "int | np.integer[Any]") -> dict[str, Any]: ...

    @overload
    def __getitem__(self, wanted: Array) -> "Columns": ...

    def __getitem__(self, wanted: "str | int | np.integer[Any] | Array") -> "Array | dict[str, Any] | Columns":
        """A column; a record; or the records with these indices, or of this mask."""
        if isinstance(wanted, str):
            return self._columns[wanted]
        found = {name: column[wanted] for name, column in self._columns.items()}
        return found if isinstance(wanted, int | np.integer) else Columns(**found)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[number] for number in range(len(self)))
