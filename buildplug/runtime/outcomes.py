"""What the fixup makes of a table's sites under a backend: counts, for reports. Writes nothing."""

import numpy as np

from buildplug.config.ops import OP_BITS
from buildplug.image.elf import Image
from buildplug.image.headers import Array
from buildplug.runtime.memory import memory_of
from buildplug.runtime.sites import Sites
from buildplug.tables.sites_format import Table

OUTCOMES = ("inline", "call", "nothing", "default")
INLINE, CALL, NOTHING, DEFAULT = range(len(OUTCOMES))


def outcomes(image: Image, table: Table, at: int, backend: int) -> Array:
    """How many sites of each op become what, shape (ops, 4), in the order of OUTCOMES: the backend's code itself; a
    call, jump or pointer to it; nops or a return; or a reference to the default, as the backend has nothing of its own.
    `at`, `backend`: the addresses of the table and of the backend."""
    memory, start, end = memory_of(image)
    own, _, lengths = Sites(image.arch, memory, table, at, 0, backend, start, end).offered(backend)
    form, op = table.sites["info"] >> OP_BITS, table.sites["info"] & ((1 << OP_BITS) - 1)
    room = np.array([f.length - len(image.arch.ret_of(f)) if f.kind.inline else -1 for f in image.arch.forms])[form]
    fits = lengths[op] <= room
    became = np.select([~own[op], ~fits, lengths[op] == 0], [DEFAULT, CALL, NOTHING], INLINE)
    counts = np.zeros((len(table.ops), len(OUTCOMES)), "i8")
    np.add.at(counts, (op, became), 1)
    return counts
