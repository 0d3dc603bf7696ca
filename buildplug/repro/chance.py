"""What differs from build to build although nothing was varied: where it likely comes from."""

import re
import time
from collections.abc import Iterator

from buildplug.image.headers import Array

TIME, SEED, NOISE = "random, likely the time", "random, likely a seed", "random, likely /dev/urandom or an unset seed"
ORDER = "random, likely the seed of a hash's order, or a race"
REMEDIES = {
    TIME: "leave the time out, or take it from SOURCE_DATE_EPOCH",
    SEED: "fix the seed: gcc has -frandom-seed, other programs an option or a variable",
    ORDER: "sort what a set or a dictionary yields, and let no two steps write the same file",
    NOISE: "fix the generator's seed, or make the bytes of the inputs, by a digest",
}
APART = 86400  # seconds between the clocks of two builds, at most
RECENT = 800 * 86400  # seconds from now, at most: the clock may be varied
UNITS = (1, 10**3, 10**6, 10**9)  # of a second
BEFORE = 24  # bytes of digits before a place
_NUMBER = re.compile(rb"\d{10,19}")
_SEED = re.compile(r"seed|uuid|guid|nonce|salt|canary|cookie|gnu\.lto|_GLOBAL__", re.I)


def source(name: str, texts: tuple[str, str], contents: list[Array], at: int) -> str:
    """The likely source of a difference at byte `at` of the contents of two parts. name: of part and symbol."""
    if _are_times(contents, at, min(map(len, texts))):
        return TIME
    return SEED if _SEED.search(" ".join((name, *texts))) else NOISE


def _are_times(contents: list[Array], at: int, text: int) -> bool:
    """Whether two numbers around a place are times of now, not far apart. `text`: the length of the text there."""
    now = time.time()
    return any(
        abs(one - other) <= APART * unit and all(abs(number / unit - now) <= RECENT for number in (one, other))
        for one, other in zip(*(_numbers(content, at, text) for content in contents), strict=True)
        for unit in UNITS
    )


def _numbers(content: Array, at: int, text: int) -> Iterator[int]:
    """The numbers that the byte at a place may belong to: in digits, else 0, then in binary, unless the text there, of
    length `text`, is longer than a number: whose bytes may by chance all look like text."""
    first = max(at - BEFORE, 0)
    written = _NUMBER.finditer(content[first : at + BEFORE].tobytes())
    yield next((int(found[0]) for found in written if found.start() <= at - first < found.end()), 0)
    for size in (size for size in (4, 8) if size >= text):
        for start in range(at - size + 1, at + 1):
            data = content[start : start + size].tobytes() if start >= 0 else b""
            yield int.from_bytes(data, "little")
            yield int.from_bytes(data, "big")
