"""Flips each byte of an image that decides what is in memory, and asks whether `buildplug verify` sees it:
`python -m bench.flips DRAFT FINAL [--every N]`. The file header, the program headers, every allocated section.

The parts of verify are called one by one, the fastest first, as one that sees the byte is enough. A byte is unseen if
none of them does.
"""

import random
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildplug.base.errors import BuildplugError
from buildplug.config.rule import Rule, find_shipped
from buildplug.image import loading
from buildplug.image.compare import compare
from buildplug.image.elf import Image
from buildplug.image.headers import FILE, SHF_ALLOC, SHT_NOBITS, record
from buildplug.stage.proof import prove_table, verify

# Fields of the file header that no loader reads: they are for those that read sections.
UNREAD = ("shoff", "shentsize", "shnum", "shstrndx")
SEED = 1


@dataclass(frozen=True)
class Flip:
    """A byte of a file, and the bits that change in it."""

    offset: int
    mask: int
    part: str  # of the file: a section, or a header


def flips(final: Image, every: int = 1) -> Iterator[Flip]:
    """A flip of each byte, or of one in `every`, from a fixed seed."""
    chance = random.Random(SEED)
    header = final.header
    parts = [
        ("file header", 0, int(header["ehsize"])),
        ("program headers", int(header["phoff"]), int(header["phentsize"]) * int(header["phnum"])),
    ]
    parts += [(s.name, s.offset, s.size) for s in final.sections if s.flags & SHF_ALLOC and s.type != SHT_NOBITS]
    for part, start, size in parts:
        for offset in range(start, start + size):
            if every == 1 or chance.randrange(every) == 0:
                yield Flip(offset, chance.randrange(1, 256), part)


def unread(final: Image) -> set[int]:
    """The offsets of the bytes that no loader reads."""
    fields: Mapping[str, Any] = record(FILE, final.arch).fields or {}
    return {at for name in UNREAD for at in range(fields[name][1], fields[name][1] + fields[name][0].itemsize)}


def unseen(draft: Image, final: Image, rules: Sequence[Rule], every: int = 1) -> tuple[int, list[Flip]]:
    """The number of flips, and those that verify does not see. Raises AssertionError if it sees something unflipped."""
    proof = verify(draft, final, [(rule, None) for rule in rules])
    assert not proof.changed and not any(table.differences for table in proof.tables), proof
    own, known = {rule.section for rule in rules}, unread(final)
    content, found, count = bytearray(final.data), [], 0
    for flip in flips(final, every):
        content[flip.offset] ^= flip.mask
        seen = flip.offset in known or _seen(draft, final.path, bytes(content), rules, own, flip.part)
        content[flip.offset] ^= flip.mask
        count += 1
        found += [] if seen else [flip]
    return count, found


def _seen(draft: Image, path: Path, content: bytes, rules: Sequence[Rule], own: set[str], part: str) -> bool:
    ordered = sorted(rules, key=lambda rule: rule.section != part)

    def table(rule: Rule) -> Callable[[Image], object]:
        return lambda image: prove_table(image, rule, None).differences

    def section(image: Image) -> object:  # takes all others for tables
        return compare(draft, image, {*draft.sections.names, *image.sections.names} - {part}).changed

    def whole(image: Image) -> object:
        proof = verify(draft, image, [(rule, None) for rule in rules])
        return [*proof.changed, *(line for table in proof.tables for line in table.differences)]

    first: list[Callable[[Image], object]] = [lambda image: loading.changed(draft, image, own)]
    first.append(table(ordered[0]) if part in own else section)
    try:
        image = Image.of(path, content)
        return any(look(image) for look in (*first, whole))
    except BuildplugError:
        return True


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("draft", type=Path)
    parser.add_argument("final", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only one byte in N")
    options = parser.parse_args()
    draft, final = Image(options.draft), Image(options.final)
    start, rules = time.monotonic(), [rule for rule in find_shipped() if rule.symbol in final.names]
    count, missed = unseen(draft, final, rules, options.every)
    seconds = time.monotonic() - start
    for flip in missed:
        print(f"unseen: {flip.part}, offset {flip.offset:#x}, bits {flip.mask:#x}")
    print(f"{count:,} bytes flipped, {len(missed)} unseen, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
