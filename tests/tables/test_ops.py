"""Tables of sites with the ops of an ops file: defaults, slots, and what is wrong with them."""

import dataclasses

import pytest

from buildplug.arch.x86 import X86_64
from buildplug.base.errors import BuildplugError
from buildplug.config.ops import OP_BITS
from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.runtime.fixup import fixup
from buildplug.runtime.memory import memory_of
from buildplug.tables.sites import table_of
from buildplug.tables.sites_format import NONE, Table
from buildplug.tables.sites_ops import resolved_of
from tests.conftest import Draft, Drafted, Link
from tests.ops_file import GOOD

KERNEL = """
    .text
    .globl pv_one, native_two, default_two, pv_ops, pv_undeclared
    .type pv_one, @function
pv_one: ret
    .size pv_one, . - pv_one
pv_undeclared: ret
native_two: ret
default_two: ret
    .section .text.sites, "ax"
sites:
    call pv_one
    call *pv_ops+8(%rip)
    jmp pv_one
    .data
    .balign 16
    .type pv_ops, @object
pv_ops: .quad 0, default_two
    .size pv_ops, . - pv_ops
"""


def made(draft: Draft) -> Table:
    return table_of(draft.image, draft.rule, draft.ops)[0]


def sites(draft: Draft) -> list[tuple[str, int, str, str]]:
    """(section, offset, form, op) of each site."""
    table = made(draft)
    return [
        (table.section_names[s], offset, X86_64.forms[info >> OP_BITS].name, table.op_names[info & 1023])
        for s, (offset, info) in zip(table.site_sections.tolist(), table.sites.tolist(), strict=True)
    ]


def symbol_in(image: Image, name: str, section: str) -> int:
    return (image.address_of(name) or 0) - image.section(section).address


def test_a_table_has_every_site_with_its_op(drafted: Drafted) -> None:
    draft = drafted(KERNEL, GOOD)
    start, slot = symbol_in(draft.image, "sites", ".text"), symbol_in(draft.image, "pv_ops", ".data") + 8
    assert sites(draft) == [
        (".text", start, "call", "one"),
        (".text", start + 5, "call *rip", "two"),
        (".text", start + 11, "jmp", "one"),
        (".data", slot, "pointer", "two"),
    ]


def test_an_op_has_its_default_and_its_slot(drafted: Drafted) -> None:
    draft = drafted(KERNEL, GOOD)
    table, image = made(draft), draft.image
    text, data = table.section_names.index(".text"), table.section_names.index(".data")
    assert table.ops.tolist() == [
        (symbol_in(image, "pv_one", ".text"), 0, text, NONE),
        (symbol_in(image, "default_two", ".text"), symbol_in(image, "pv_ops", ".data") + 8, text, data),
    ]
    own = image.address_of(draft.rule.symbol) or 0
    assert [own + base for base in table.bases.tolist()] == [image.section(n).address for n in table.section_names]
    assert table.sections["size"].tolist() == [image.section(n).size for n in table.section_names]


def test_a_table_says_its_ops(drafted: Drafted) -> None:
    draft = drafted(KERNEL, GOOD)
    table = made(draft)
    own = draft.image.address_of(draft.rule.symbol) or 0
    resolved = resolved_of(draft.image, table, own)
    assert table_of(draft.image, draft.rule, resolved)[0].encode() == table.encode()
    assert resolved.slots == (None, (draft.image.address_of("pv_ops") or 0) + 8)


def test_without_an_ops_file_every_symbol_is_an_op(drafted: Drafted) -> None:
    draft = drafted(KERNEL, GOOD)
    table, _ = table_of(draft.image, draft.rule, None)
    assert table.op_names == ("pv_one", "pv_ops+0x8")
    assert len(table.sites) == 4


@pytest.mark.parametrize("code", ["call pv_undeclared", "call *pv_ops(%rip)"])
def test_a_reference_to_what_no_op_declares_is_an_error(drafted: Drafted, code: str) -> None:
    draft = drafted(f"{KERNEL}\n.section .text.sites\n{code}", GOOD)
    with pytest.raises(BuildplugError, match=r"\.text\+0x.*: expected a declared op, found pv_(undeclared|ops)\+0"):
        made(draft)


@pytest.mark.parametrize(("old", "new"), [('"pv_one"', '"pv_gone"'), ('"pv_ops+8"', '"gone+8"')])
def test_a_symbol_that_the_image_lacks_is_an_error(drafted: Drafted, old: str, new: str) -> None:
    with pytest.raises(BuildplugError, match=r"op (one|two): expected a symbol (pv_)?gone, found none"):
        made(drafted(KERNEL, GOOD.replace(old, new)))


def test_a_slot_without_a_number_is_an_error(drafted: Drafted) -> None:
    with pytest.raises(BuildplugError, match=r"op two: slot: expected symbol\+offset or .*, found 'pv_ops\+x'"):
        made(drafted(KERNEL, GOOD.replace("pv_ops+8", "pv_ops+x")))


@pytest.mark.parametrize("offset", ["+0x100000", "+-0x1000000"])
def test_a_slot_outside_every_section_is_an_error(drafted: Drafted, offset: str) -> None:
    with pytest.raises(BuildplugError, match="op two: expected a word of pv_ops, 16 bytes"):
        made(drafted(KERNEL, GOOD.replace("pv_ops+8", f"pv_ops{offset}")))


@pytest.mark.parametrize("offset", [16, 12, 7])
def test_a_slot_that_is_no_word_of_its_object_is_an_error(drafted: Drafted, offset: int) -> None:
    # what lies there would be rewritten at boot as if it were a slot
    draft = drafted(f"{KERNEL}\n.quad native_two", f'{GOOD}\n[ops.three]\nslot = "pv_ops+{offset}"\n')
    with pytest.raises(BuildplugError, match="op three"):
        made(draft)


def test_two_ops_of_one_function_are_an_error(drafted: Drafted) -> None:
    with pytest.raises(BuildplugError, match="one"):
        made(drafted(KERNEL, '[ops.again]\nfunction = "pv_one"\n' + GOOD))


def fixed(draft: Draft, backend: str) -> str:
    """What the fixup says to the table of a draft, put in a memory of its own."""
    memory, start, end = memory_of(draft.image)
    at = (end + 0xFFF) & ~0xFFF
    table = made(draft)
    table = dataclasses.replace(table, bases=table.bases + (draft.image.address_of(draft.rule.symbol) or 0) - at)
    data = table.encode()
    memory = dataclasses.replace(memory, regions=(*memory.regions, (at, bytearray(data))))
    address = draft.image.address_of(f"{draft.rule.symbol}_{backend}") or 0
    return fixup(X86_64, memory, at, address, start, at + len(data)).error


@pytest.mark.parametrize("backend", ["native", "other"])
def test_the_fixup_takes_the_table(drafted: Drafted, backend: str) -> None:
    assert fixed(drafted(KERNEL, GOOD), backend) == "ok"


@pytest.mark.parametrize("place", [".data\n.balign 16", '.section .bss.x, "aw", @nobits'])
def test_an_op_whose_slot_is_empty_is_an_error_of_the_build_or_none_at_boot(drafted: Drafted, place: str) -> None:
    source = KERNEL.replace(".data\n    .balign 16", place).replace(".quad 0, default_two", ".skip 16")
    draft = drafted(source, GOOD)
    try:
        status = fixed(draft, "native")
    except BuildplugError as error:
        assert "op two" in str(error)
    else:
        assert status == "ok"


def test_an_image_without_the_table_is_an_error(link: Link, drafted: Drafted) -> None:
    draft = drafted(KERNEL, GOOD)
    image = link(KERNEL)
    with pytest.raises(BuildplugError, match="expected the symbol bp_paravirt, found none"):
        table_of(image, find("paravirt", image.path.parent), draft.ops)
