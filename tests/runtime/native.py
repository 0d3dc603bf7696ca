"""The fixup of the kernel, loaded into this process and run beside the reference; layouts of one site or two."""

import ctypes
import mmap
from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st

from buildplug.runtime.memory import Status
from buildplug.tables.sites_format import ERRORS
from tests.layouts import HIGH, LOW, SIZE, Layout, Op, Site, Way, lay_out

MAP_FIXED_NOREPLACE = 0x100000
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror")
FLAGS = (*WARNINGS, "-ffreestanding")

seeds = st.integers(0, 2**64 - 1)

WRITER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32)


class CStatus(ctypes.Structure):
    """struct bp_status"""

    _fields_ = (("error", ctypes.c_uint32), ("entry", ctypes.c_uint32))


class Native:
    """The generated C in this process, with memory at the addresses of layouts."""

    def __init__(self, library: Path):
        self.library = ctypes.CDLL(str(library))
        self.library.bp_fixup.restype = CStatus
        self.library.bp_fixup.argtypes = [ctypes.c_void_p] * 6
        self.library.bp_switch.restype = CStatus
        self.library.bp_switch.argtypes = [ctypes.c_void_p] * 7
        self.library.bp_error.restype = ctypes.c_char_p
        self.written: list[tuple[int, int]] = []
        self.callback = WRITER(self._write)
        self.writers = {
            "plain": ctypes.cast(self.library.bp_write, ctypes.c_void_p),
            "callback": ctypes.cast(self.callback, ctypes.c_void_p),
            "none": None,
        }
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        self.unmap = libc.munmap
        self.unmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        for address in (LOW, HIGH):
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
            assert libc.mmap(address, SIZE, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0) == address

    def _write(self, context: int, site: int, data: int, length: int) -> None:
        assert context == 77
        self.written.append((site, length))
        ctypes.memmove(site, data, length)

    def fixed(self, layout: Layout, writer: str) -> tuple[Status, Layout]:
        """What the C makes of a layout."""
        self.load(layout)
        bounds = (layout.at, layout.backend, layout.start, layout.end)
        return self.result(layout, self.library.bp_fixup(*bounds, self.writers[writer], 77))

    def switched(self, layout: Layout, origin: int, backend: int) -> tuple[Status, Layout]:
        """What the C makes of a layout whose sites hold what a backend gave them; 0 is none."""
        self.load(layout)
        bounds = (layout.at, origin, backend, layout.start, layout.end)
        return self.result(layout, self.library.bp_switch(*bounds, self.writers["plain"], 0))

    def load(self, layout: Layout) -> None:
        self.written.clear()
        for address, content in layout.regions:
            ctypes.memmove(address, content, len(content))

    def result(self, layout: Layout, status: CStatus) -> tuple[Status, Layout]:
        regions = tuple((address, ctypes.string_at(address, len(content))) for address, content in layout.regions)
        return Status(list(ERRORS)[status.error], status.entry), replace(layout, regions=regions)


def both(native: Native, layout: Layout, writer: str = "plain") -> tuple[Status, Layout]:
    """What C and the reference make of a layout, which must be the same; after an error, nothing."""
    status, after = native.fixed(layout, writer)
    expected, fixed = layout.fixed(dry=writer == "none")
    assert status == expected
    assert after.regions == fixed.regions
    if status.error != "ok" or writer == "none":
        assert after.regions == layout.regions
    return status, after


# One site of each form, at TEXT + 0x10, in a section of 0x100 bytes; the default function at TEXT + 0x80.
TABLE, BACKEND, INLINE, TEXT, DATA = LOW, LOW + 0x200, LOW + 0x300, LOW + 0x400, LOW + 0x600
SITE, DEFAULT, SLOT, OTHER = TEXT + 0x10, TEXT + 0x80, DATA + 0x20, DATA + 0x80
SECTIONS = ((TEXT, 0x100), (DATA, 0x100))
OP = Op((0, 0x80), (1, 0x20))


def one_site(form: str, way: Way, op: Op = OP) -> Layout:
    memory = [(LOW, b"\xcc" * SIZE)]
    return lay_out(memory, TABLE, BACKEND, SECTIONS, [op], [Site(0, 0x10, form, 0)], [way])


def to(opcode: bytes, site: int, target: int) -> bytes:
    """A direct call or jump, or a conditional one."""
    return opcode + (target - site - len(opcode) - 4).to_bytes(4, "little", signed=True)


CLI, LONG = Way(INLINE, b"\xfa"), Way(INLINE, bytes(range(12)))
FUNCTION, NOTHING, KEEP = Way(OTHER), Way(INLINE, b""), Way()


def two_sites(first: int, second: int) -> Layout:
    sites = [Site(0, first, "call", 0), Site(0, second, "jmp", 0)]
    return lay_out([(LOW, b"\xcc" * SIZE)], TABLE, BACKEND, SECTIONS, [OP], sites, [CLI])
