"""References in code that needs no decoder: an instruction's word alone says how it refers."""

import numpy as np

from buildplug.image.elf import Image
from buildplug.image.fields import UNKNOWN, mismatches, wrong_field
from buildplug.image.headers import Array, among, distinct, sorting, within
from buildplug.image.rewritten import copies
from buildplug.image.veneers import destinations
from buildplug.image.words import address_in, has_form

WORD = 4  # bytes of an instruction; those of 2 refer to no slot


def settle(image: Image, rows: Array, relocations: Array, numbers: Array, near: Array, starts: Array) -> Array:
    """The ignored kind of each reference that has no form, "" for those that need none; str, shape as rows.

    Sets the form of calls and jumps that reach their target by a veneer. `near`: symbol plus addend; `starts`: the
    addresses of targets. Raises BuildplugError for a field that does not hold what its relocation says.
    """
    arch = image.arch
    for number in distinct(numbers).tolist():
        field = arch.fields[number]
        if image.type != "ET_EXEC" and field.whole and not field.relative:
            continue  # the loader fills it in
        at = np.flatnonzero((numbers == number) & ~among(relocations["type"], [*arch.relaxed, *arch.unproved]))
        wrong = at[mismatches(image, relocations[at], field)]
        if len(wrong):
            raise wrong_field(image, relocations[wrong[0]], field)
    sections, offsets = relocations["section"], relocations["offset"].astype("u8")
    for form in arch.direct.values() if arch.veneers else ():
        at = np.flatnonzero((rows["form"] == UNKNOWN) & (numbers == arch.fields.index(form.field)))
        at = at[has_form(image, sections[at], offsets[at], form) & within(near[at], starts)]
        at = at[destinations(image, address_in(image, sections[at], offsets[at], form)) == near[at]]
        rows["form"][at], rows["offset"][at], rows["value"][at] = arch.forms.index(form), offsets[at], near[at]
        rows["target"][at] = np.searchsorted(starts, near[at])
    kinds = np.full(len(rows), "other", "U16")
    words = _with_copies(image, relocations, image.words(sections, offsets, WORD))
    for value, mask, kind in reversed(arch.uses):
        kinds[words & np.uint64(mask) == value] = kind
    kinds[_needless(image, rows, relocations)] = ""
    return kinds


def _with_copies(image: Image, relocations: Array, words: Array) -> Array:
    """The words at relocations; where a linker has made a branch to a copy of an instruction, the copy."""
    for kind in image.arch.made:
        at = np.flatnonzero(relocations["type"] == kind)
        index, _, copied = copies(image, kind, relocations["section"][at], relocations["offset"][at].astype("u8"))
        words[at[index]] = copied
    return words


def by_veneer(image: Image, rows: Array) -> Array:
    """Whether each reference is a call or jump that reaches its target by a veneer; bool, shape as rows."""
    found = np.zeros(len(rows), bool)
    for form in image.arch.direct.values() if image.arch.veneers else ():
        at = np.flatnonzero(rows["form"] == image.arch.forms.index(form))
        sections, offsets = rows["section"][at], rows["offset"][at]
        found[at] = address_in(image, sections, offsets, form) != rows["value"][at]
    return found


def _needless(image: Image, rows: Array, relocations: Array) -> Array:
    """Whether each relocation is of an instruction that refers to nothing any more, or of the inside of a site."""
    sections, offsets = relocations["section"], relocations["offset"].astype("u8")
    found = np.zeros(len(rows), bool)
    for kind, forms in image.arch.made.items():
        for form in (form for form in forms if form.field.modulus == 1 and form.kind.name == "address"):
            at = np.flatnonzero(relocations["type"] == kind)
            found[at] |= has_form(image, sections[at], offsets[at], form)
    long = np.flatnonzero([form.first is not None for form in image.arch.forms])
    sites = rows.compress(among(rows["form"], long))
    if len(sites):
        order = sorting(sites["offset"], sites["section"])
        keys = sites["section"][order].astype("u8") << np.uint64(40) | sites["offset"][order]
        lengths = np.array([form.length for form in image.arch.forms], "u8")[sites["form"][order]]
        own = sections.astype("u8") << np.uint64(40) | offsets
        before = np.searchsorted(keys, own, "right") - 1
        found |= (before >= 0) & (own > keys[before]) & (own - keys[before] < lengths[before])
    return found
