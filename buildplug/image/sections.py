"""The section headers of an ELF file as a sequence of records. Source: System V gABI, chapter 4."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import overload

import numpy as np

from buildplug.image import name_patterns
from buildplug.image.headers import Array, Section, checked_lengths
from buildplug.image.names import Names


class Sections(Sequence[Section]):
    """The section headers as records, each made when it is asked for: a file may have very many."""

    def __init__(self, headers: Array, strings: bytes):
        """Raises ValueError for a name outside `strings`, the string table, or names that are longer than it."""
        lengths = checked_lengths(np.frombuffer(strings, np.uint8), headers["name"])
        self.headers, self.table = headers, Names(strings + b"\0", headers["name"], lengths)
        self._made: dict[int, Section] = {}

    def __len__(self) -> int:
        return len(self.headers)

    @overload
    def __getitem__(self, index: int) -> Section: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Section]: ...

    def __getitem__(self, index: int | slice) -> Section | Sequence[Section]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        index = range(len(self))[index]  # raises IndexError
        found = self._made.get(index)
        if found is None:
            _, *values = self.headers[index].item()
            found = self._made[index] = Section(index, self.names[index], *values)
        return found

    def __iter__(self) -> Iterator[Section]:
        return map(self.__getitem__, range(len(self)))

    def at(self, chosen: Array) -> Iterator[Section]:
        """The sections that a mask over all of them selects."""
        return map(self.__getitem__, np.flatnonzero(chosen).tolist())

    @cached_property
    def names(self) -> list[str]:
        """The names of all, by index."""
        return self.table.decoded()

    def matching(self, patterns: Sequence[str], skip: Sequence[str] = ()) -> Array:
        """Whether each section's name matches one of `patterns` and none of `skip`, bool, shape (n,)."""
        found: Array = name_patterns.matching(self.table, patterns) & ~name_patterns.matching(self.table, skip)
        return found

    def called(self, name: str) -> list[int]:
        """The indices of the sections of a name."""
        if {"\\", "\0"} & set(name):  # names have escaped bytes
            return [index for index, other in enumerate(self.names) if other == name]
        found: list[int] = self.table.prefixed(name.encode(errors="surrogateescape") + b"\0").tolist()
        return found
