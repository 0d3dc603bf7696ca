"""The order of inputs, which no output may depend on: `buildplug repro` shuffles it to prove that.

Inputs are the sources that globs find and ninja gets, and the symbols and relocations that are read.
"""

import os
from collections.abc import Iterable
from typing import Any, TypeVar

VARIABLE = "BUILDPLUG_INPUT_ORDER"  # if set, its text seeds the shuffle

Item = TypeVar("Item")


def shuffling() -> bool:
    """Whether inputs are shuffled."""
    return VARIABLE in os.environ


def permutation(count: int) -> Any:
    """The numbers below `count` in shuffled order, shape (count,); the same variable gives the same order."""
    import numpy as np  # lazy: only needed for shuffling

    return np.random.default_rng(list(os.environ[VARIABLE].encode(errors="surrogateescape"))).permutation(count)


def in_order(items: Iterable[Item]) -> list[Item]:
    """The items in their own order, or shuffled."""
    found = list(items)
    return [found[index] for index in permutation(len(found))] if shuffling() else found
