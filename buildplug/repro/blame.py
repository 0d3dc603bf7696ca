"""Finds where two files differ that should be equal, by section, symbol and table entry, and the likely causes."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen
from buildplug.config.rule import Rule
from buildplug.image import build_id
from buildplug.image.elf import Image
from buildplug.image.headers import SHT_NOBITS, STT_FILE, STT_SECTION, Array, among
from buildplug.record.rebuilds import APART, Place
from buildplug.repro import archives, chance
from buildplug.stage.proof import prove_table

SHOWN = 16  # bytes shown of a place
MOST = 4096  # places of a part
TEXT = 80  # bytes of text shown before and after a place
# Class of cause -> remedy.
REMEDIES = {
    "timestamp": "leave the time out, or take it from SOURCE_DATE_EPOCH",
    "build path": "compile with -ffile-prefix-map=FOLDER=., and name files relative to the project",
    "file order": "sort folder listings",
    "user or host name": "leave it out; for Linux set KBUILD_BUILD_USER and KBUILD_BUILD_HOST",
    "build-id": "link with --build-id=sha1, which is made from the content",
    "randomised layout seed": "fix the seed",
    "signature": "sign after the build, or with a fixed key",
    "locale": "set LC_ALL=C where something is sorted or printed",
    "parallelism": "let no two steps write the same file, and sort their output",
    "hash order": "sort what a set or a dictionary yields",
    "file mode": "set the modes in the archive: umask 022, or the archiver's options",
    "temporary path": "leave it out",
    "memory layout (addresses, or bytes never set)": "clear structures, padding too, before they are written",
} | chance.REMEDIES
# Causes that stand even if nothing was varied.
NAMED = ("build-id", "randomised layout seed", "signature", "temporary path", "file mode", "user or host name")
ORDER = "order: of files, of hashes, or of parallel steps"
SOURCES = {"timestamp": chance.TIME, ORDER: chance.ORDER}  # what others are then
_TIME = re.compile(
    r"\d\d:\d\d:\d\d|\d{4}-\d\d-\d\d|\d\d/\d\d/\d\d|\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* +\d"
)
_TEMPORARY = re.compile(r"/tmp/|/var/tmp/|\btmp[._]?\w{6,}|\bcc\w{6}\.[os]\b")
_SIGNATURE = b"~Module signature appended~\n"
_CERTIFICATES = re.compile(r"system_certificate|signing_key")
_SEED = re.compile(r"randstruct|randomize_layout", re.I)


@frozen
class _Part:
    """A part of a file: bytes [start, end). Places of a lower rank are shown first: they explain more."""

    name: str
    start: int
    end: int
    rank: int = 0
    text: bool = True  # whether bytes that look like text may be shown as text
    cause: str = ""  # the class of cause of any difference in it
    symbols: Sequence[tuple[int, int, str]] = ()  # offset in the part, bytes; size, bytes; name; ascending
    image: Image | None = None  # if the part is a section of it


def compare(
    control: Path, varied: Path, rules: Sequence[Rule], known: str = "", *, random: bool = False
) -> list[Place]:
    """The places where two files differ, the most informative first. `rules`: of tables that the files may contain;
    `known`: the class of cause for places that do not imply one; `random`: nothing was varied, so that causes are
    sources of what differs from build to build."""
    data = [np.fromfile(path, np.uint8) for path in (control, varied)]
    parts = [_parts(path, content) for path, content in zip((control, varied), data, strict=True)]
    found: list[tuple[int, Place]] = []
    for one, other in _paired(*parts):
        if one and other:
            found += [(one.rank, place) for place in _places((one, other), data, rules, known, random=random)]
        elif odd := one or other:
            name = f"{odd.name}, only in the {'control' if one else 'varied build'}"
            size = odd.end - odd.start
            found.append((odd.rank, Place(name, "", "", odd.start, odd.start, size, "", "", ("", ""), known)))
    if not found:  # the difference is outside of all parts
        whole = [_Part("headers or padding", 0, len(content), text=False) for content in data]
        found = [(0, place) for place in _places((whole[0], whole[1]), data, rules, known, random=random)]
    found.sort(key=lambda item: (item[0] + (not item[1].texts[0]), item[1].offset))
    return [place for _, place in found]


def _parts(path: Path, data: Array) -> list[_Part]:
    content = data.tobytes()
    parts = []
    if content[:4] == b"\x7fELF":
        try:
            parts = list(_sections(Image(path)))
        except BuildplugError:  # an unknown architecture, or malformed: compared as bytes
            parts = []
    for extent in archives.extents(content):
        name = f"{extent.name}: {extent.field}" if extent.field else extent.name
        parts.append(_Part(name, extent.start, extent.end, cause=archives.CAUSES.get(extent.field, "")))
    if content.endswith(_SIGNATURE):  # Linux, include/linux/module_signature.h
        end = len(content) - len(_SIGNATURE)
        size = int.from_bytes(content[end - 4 : end], "big")
        parts.append(_Part("module signature", max(end - 12 - size, 0), len(content), 4, False, "signature"))
    return parts or [_Part("", 0, len(content))]


def _sections(image: Image) -> Iterator[_Part]:
    symbols = image.symbols
    named = ~among(symbols["type"], (STT_SECTION, STT_FILE)) & (symbols["name"] != 0)
    for section in image.sections:
        if section.type in (0, SHT_NOBITS):
            continue
        if found_id := next(build_id.locations(image, section), None):
            start, middle, end = section.offset, found_id.start, found_id.end
            name = section.name if section.name == ".note.gnu.build-id" else f"{section.name}: build-id"
            yield _Part(section.name, start, middle)
            yield _Part(name, middle, end, 4, False, "build-id")
            yield _Part(section.name, end, section.offset + section.size)
            continue
        at = np.flatnonzero(named & (symbols["section"] == section.index)) if section.alloc else np.zeros(0, "i8")
        base = 0 if image.type == "ET_REL" else section.address
        rows = [(int(symbols["value"][i]) - base, int(symbols["size"][i]), image.name_of(i)) for i in at.tolist()]
        yield _Part(
            section.name, section.offset, section.offset + section.size, 0 if section.alloc else 2,
            not section.executable, "", sorted(rows), image,
        )  # fmt: skip


def _paired(ones: list[_Part], others: list[_Part]) -> Iterator[tuple[_Part | None, _Part | None]]:
    """The parts of two files in pairs of equal names, in order where a name repeats; None for a missing one."""
    rows = []
    for parts in (ones, others):
        seen: dict[str, int] = {}
        numbered = {}
        for part in parts:
            seen[part.name] = seen.get(part.name, 0) + 1
            numbered[part.name, seen[part.name]] = part
        rows.append(numbered)
    for key in [*rows[0], *(key for key in rows[1] if key not in rows[0])]:
        yield rows[0].get(key), rows[1].get(key)


def _places(
    pair: tuple[_Part, _Part], data: list[Array], rules: Sequence[Rule], known: str, *, random: bool
) -> Iterator[Place]:
    """The places where two parts differ. Only the first one if their sizes differ: the bytes after it have moved."""
    one, other = pair
    contents = [content[part.start : part.end] for content, part in zip(data, pair, strict=True)]
    common = min(map(len, contents))
    differ = np.flatnonzero(contents[0][:common] != contents[1][:common])
    if len(contents[0]) != len(contents[1]):
        differ = np.append(differ, common)[:1]
    if not len(differ):
        return
    starts = np.array([start for start, _, _ in one.symbols], "i8")
    ends = np.array([start + size if size else one.end for start, size, _ in one.symbols], "i8")
    owners = np.searchsorted(starts, differ, "right") - 1
    if len(starts):
        owners[differ >= ends[owners]] = -1
    new = (np.diff(owners) != 0) | ((owners[1:] < 0) & (np.diff(differ) > APART))
    firsts = np.append(0, np.flatnonzero(new) + 1)
    lasts = np.append(differ[firsts[1:] - 1], differ[-1] if len(contents[0]) == len(contents[1]) else len(contents[0]))
    for index, last in zip(firsts[:MOST].tolist(), lasts.tolist(), strict=False):
        at, owner = int(differ[index]), int(owners[index])
        symbol = f"{one.symbols[owner][2]}+{at - one.symbols[owner][0]:#x}" if owner >= 0 else ""
        texts = _texts(contents, at) if one.text and other.text else ("", "")
        cause = one.cause or _by_name(symbol, texts) or known or _by_content(contents, texts)
        if random and cause not in NAMED:
            cause = SOURCES.get(cause) or chance.source(f"{one.name} {symbol}", texts, contents, at)
        yield Place(
            one.name, symbol, _entry(one, at, rules), one.start + at, other.start + at, last + 1 - at,
            contents[0][at : at + SHOWN].tobytes().hex(" "), contents[1][at : at + SHOWN].tobytes().hex(" "), texts,
            cause,
        )  # fmt: skip


def _entry(part: _Part, at: int, rules: Sequence[Rule]) -> str:
    """The entry with the byte at `at` of a section, if a table of one of the rules contains it; else empty."""
    if part.image is None:
        return ""
    for rule in rules:
        start = part.image.address_of(rule.symbol) if rule.section == part.name else None
        if start is not None:
            try:
                truth = prove_table(part.image, rule, None).truth
            except BuildplugError:
                return ""
            return truth.describe(at - (start - part.image.section(part.name).address))
    return ""


def _texts(contents: list[Array], at: int) -> tuple[str, str]:
    """The text around a place in both parts; empty unless both are text."""
    texts = []
    for content in contents:
        before = re.search(rb"[\x20-\x7e]*\Z", content[max(at - TEXT, 0) : at].tobytes())
        after = re.match(rb"[\x20-\x7e]*", content[at : at + TEXT].tobytes())
        assert before and after  # both match the empty string
        texts.append((before[0] + after[0]).decode())
    return (texts[0], texts[1]) if min(map(len, texts)) >= 4 else ("", "")


def _by_name(symbol: str, texts: tuple[str, str]) -> str:
    """The class of cause that names indicate; empty if none."""
    if _CERTIFICATES.search(symbol):
        return "signature"
    return "randomised layout seed" if _SEED.search(" ".join((symbol, *texts))) else ""


def _by_content(contents: list[Array], texts: tuple[str, str]) -> str:
    """The class of cause that the differing content suggests; empty if none."""
    for pattern, cause in ((_TEMPORARY, "temporary path"), (_TIME, "timestamp")):
        if all(pattern.search(text) for text in texts):
            return cause
    counts = [np.bincount(content, minlength=256) for content in contents]
    if np.array_equal(counts[0], counts[1]):
        return ORDER
    return ""
