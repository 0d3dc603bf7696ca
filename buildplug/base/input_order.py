"""The order in which inputs are met, which no output may depend on: `buildplug repro` has it shuffled.

Sources as globs find them and as ninja is told of them; symbols and relocations as they are read.
"""

import os
from collections.abc import Iterable
from typing import Any, TypeVar

VARIABLE = "BUILDPLUG_INPUT_ORDER"  # if it is set, its text makes the order

Item = TypeVar("Item")


def shuffling() -> bool:
    """Whether anything is to be shuffled at all."""
    return VARIABLE in os.environ


def permutation(count: int) -> Any:
    """The numbers below `count` as an array, in the order that the variable's text makes: always the same one."""
    import numpy as np  # not for a build where nothing is shuffled

    return np.random.default_rng(list(os.environ[VARIABLE].encode(errors="surrogateescape"))).permutation(count)


def in_order(items: Iterable[Item]) -> list[Item]:
    """The items in the order in which they are met."""
    found = list(items)
    return [found[place] for place in permutation(len(found))] if shuffling() else found
