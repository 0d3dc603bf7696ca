"""Instructions by their words, where these need no decoder (Arch.instruction): which are of a form, and what they refer
to."""

import numpy as np

from buildplug.arch.form import Form
from buildplug.image.elf import Image
from buildplug.image.headers import Array


def has_form(image: Image, sections: Array, offsets: Array, form: Form) -> Array:
    """Whether the bytes at each offset in a section, by its index, are of a form; bool, shape as offsets."""
    size, order = image.arch.instruction, image.arch.order
    found = np.ones(len(offsets), bool)
    for at in range(0, form.length, size):
        code, mask = (int.from_bytes(each[at : at + size], order) for each in (form.code, form.mask))
        found &= image.words(sections, offsets + np.uint64(at), size) & np.uint64(mask) == code
    return found


def address_in(image: Image, sections: Array, offsets: Array, form: Form) -> Array:
    """The address in the field of a form at each offset, uint64, shape as offsets."""
    words = image.words(sections, offsets + np.uint64(form.at), form.field.size)
    found: Array = form.field.get(words, image.addresses[sections] + offsets + np.uint64(form.pc))
    return found
