"""How the C library keeps memory that was freed."""

from functools import cache

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of mallopt(3)
LARGEST = 32 << 20  # bytes: most that mallopt takes for the first
KEPT = 256 << 20  # bytes


@cache
def keep_freed() -> None:
    """Keeps freed memory for what comes next. By default glibc gives that of each large array back, and the next one
    has the kernel clear as many pages. Does nothing where the C library is another."""
    import ctypes  # lazy, as few commands need it; numpy has imported it

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, KEPT)
