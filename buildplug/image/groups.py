"""The places of equal values in an array, for what must be done value by value."""

from collections.abc import Iterator

import numpy as np

from buildplug.image.headers import Array, sorting


def groups(values: Array) -> Iterator[tuple[int, Array]]:
    """Each value, ascending, and the indices at which it is, ascending; `values` are integers, shape (n,)."""
    order = sorting(values)
    used, first = np.unique(values[order], return_index=True)
    return zip(used.tolist(), np.split(order, first[1:]), strict=False)  # no values are still one part
