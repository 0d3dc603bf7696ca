"""Veneers, which linkers put between a call and a target out of its reach: where they lead, and whether they are alike.

They have no relocations. Only for architectures whose instructions need no decoder (Arch.instruction).
"""

import numpy as np

from buildplug.arch.form import Form
from buildplug.image.elf import Image
from buildplug.image.headers import Array, Section, distinct, within
from buildplug.image.places import same_place
from buildplug.image.words import address_in, has_form

HOPS = 2  # veneers one behind the other: lld goes from a short one to a long one


def destinations(image: Image, addresses: Array) -> Array:
    """Where execution gets from each address by way of veneers, uint64: the address itself if there is none."""
    found = addresses.copy()
    for _ in range(HOPS if image.arch.veneers else 0):
        homes = image.sections_at(found)
        open_ = homes >= 0
        for form in image.arch.veneers:
            at = np.flatnonzero(open_)
            sections, offsets = homes[at], found[at] - image.addresses[homes[at]]
            match = has_form(image, sections, offsets, form)
            found[at[match]] = address_in(image, sections[match], offsets[match], form)
            open_[at[match]] = False
    return found


def veneer_lengths(image: Image, addresses: Array) -> Array:
    """The bytes of the veneer at each address; 0 if there is none. Shape as addresses."""
    homes, lengths = image.sections_at(addresses), np.zeros(len(addresses), "i8")
    for form in image.arch.veneers:
        at = np.flatnonzero((homes >= 0) & (lengths == 0))
        match = has_form(image, homes[at], addresses[at] - image.addresses[homes[at]], form)
        lengths[at[match]] = form.length
    return lengths


def same_veneers(draft: Image, before: Section, final: Image, after: Section, unlike: Array) -> Array:
    """Whether each of the offsets `unlike`, whose bytes differ in a section of two links, is in a veneer that is of the
    same form in both and leads to the same place; bool, shape as unlike. Veneers have no relocations."""
    found, size = np.zeros(len(unlike), bool), final.arch.instruction
    for form in final.arch.veneers:
        starts = unlike[:, None] // size * size - np.arange(0, form.length, size)
        starts = distinct(starts[(starts >= 0) & (starts + form.length <= before.size)])
        addresses, good = [], np.ones(len(starts), bool)
        for image, section in ((draft, before), (final, after)):
            homes, offsets = np.full(len(starts), section.index), starts.astype("u8")
            good &= has_form(image, homes, offsets, form)
            addresses.append(destinations(image, address_in(image, homes, offsets, form)))
        starts = starts[good & same_place(draft, addresses[0], final, addresses[1])]
        field = starts[:, None] + np.arange(form.at, form.at + form.field.size)
        found |= within(unlike, distinct(field.ravel()))
    return found


def are_veneers(image: Image, section: Section, added: list[tuple[int, bytes]]) -> bool:
    """Whether each of these symbols, offset and content, is a veneer and no more."""
    addresses = np.array([start for start, _ in added], "u8") + np.uint64(section.address)
    lengths = veneer_lengths(image, addresses).tolist()
    return all(length and _is_padding(image, code[length:]) for length, (_, code) in zip(lengths, added, strict=True))


def is_filler(image: Image, content: bytes, first: int, known: list[tuple[int, bytes]]) -> bool:
    """Whether content from the offset `first` on is the known symbols, padding, and jumps over veneers."""
    rest = bytearray(content)
    for start, code in known:
        rest[start : start + len(code)] = bytes(len(code))
    return _is_padding(image, bytes(rest[first:]), image.arch.direct[True])


def _is_padding(image: Image, code: bytes, jump: Form | None = None) -> bool:
    """Whether code is zeros, nops, and instructions of the form `jump`."""
    size, order = image.arch.instruction, image.arch.order
    words = np.frombuffer(code.ljust(-(-len(code) // size) * size, b"\0"), f"{image.arch.byteorder}u{size}")
    found = (words == 0) | (words == int.from_bytes(image.arch.nops[size], order))
    if jump:
        found |= words & int.from_bytes(jump.mask, order) == int.from_bytes(jump.code, order)
    return bool(found.all())
