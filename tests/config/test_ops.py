"""Ops files, and the tables that references to ops make."""

import dataclasses
from pathlib import Path

import pytest

from buildplug.arch.model import Arch
from buildplug.arch.x86 import I386, X86_64
from buildplug.base.errors import BuildplugError
from buildplug.config.ops import OP_BITS, Implementation, Op, Ops, read
from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.runtime.fixup import fixup
from buildplug.runtime.memory import memory_of
from buildplug.tables.sites import resolved_of, table_of
from buildplug.tables.sites_format import NONE, Table
from tests.conftest import Draft, Drafted, Link

GOOD = """
[ops.one]
function = "pv_one"
clobbers = []
[ops.two]
slot = "pv_ops+8"
[backends.native]
one = { inline = "cli" }
two = { function = "native_two" }
[backends.other]
one = { nothing = true }
"""


def parsed(folder: Path, text: str, arch: Arch = X86_64) -> Ops:
    (folder / "ops.toml").write_text(text)
    return read(folder / "ops.toml", arch)


def fails(folder: Path, text: str, expected: str) -> None:
    with pytest.raises(BuildplugError) as caught:
        parsed(folder, text)
    assert str(caught.value).startswith(f"{folder}/ops.toml: ")
    assert expected in str(caught.value)


def test_an_ops_file_is_read(tmp_path: Path) -> None:
    ops = parsed(tmp_path, GOOD)
    assert ops.ops == {"one": Op("pv_one", "", ()), "two": Op("", "pv_ops+8", None)}
    assert ops.backends["native"]["one"] == Implementation(inline="cli")
    assert ops.backends["other"] == {"one": Implementation(nothing=True)}


def test_an_op_of_several_registers_is_several_ops(tmp_path: Path) -> None:
    ops = parsed(
        tmp_path,
        """
[ops.save]
each = ["rax", "rbx"]
function = "pv_save_{}"
clobbers = ["{}"]
[ops.slot]
each = ["0", "8"]
slot = "pv_ops+{}"
[ops.plain]
function = "pv_{}"
[groups.both]
ops = ["save_rax", "save_rbx"]
[backends.native]
save = { inline = "pop %{}" }
slot = { function = "slot_{}", preserve = false }
plain = { inline = "{}" }
""",
    )
    assert ops.ops == {
        "save_rax": Op("pv_save_rax", "", ("rax",)),
        "save_rbx": Op("pv_save_rbx", "", ("rbx",)),
        "slot_0": Op("", "pv_ops+0"),
        "slot_8": Op("", "pv_ops+8"),
        "plain": Op("pv_{}"),
    }
    assert ops.backends["native"] == {
        "save_rax": Implementation(inline="pop %rax"),
        "save_rbx": Implementation(inline="pop %rbx"),
        "slot_0": Implementation(function="slot_0"),
        "slot_8": Implementation(function="slot_8"),
        "plain": Implementation(inline="{}"),
    }


@pytest.mark.parametrize(("arch", "ax", "second"), [(X86_64, "rax", 8), (I386, "eax", 4)])
def test_registers_and_words_are_those_of_the_architecture(tmp_path: Path, arch: Arch, ax: str, second: int) -> None:
    text = """
[ops.read]
slot = "pv_ops[1]"
clobbers = ["{ax}"]
[ops.save]
each = ["{ax}"]
function = "pv_save_{}"
[groups.both]
ops = ["read", "save_{ax}"]
[backends.native]
read = { inline = "mov %cr2, %{ax}; {{disp32}} jmp x" }
"""
    ops = parsed(tmp_path, text, arch)
    assert ops.ops == {"read": Op("", f"pv_ops+{second}", (ax,)), f"save_{ax}": Op(f"pv_save_{ax}")}
    assert ops.groups["both"].ops == ("read", f"save_{ax}")
    assert ops.backends["native"]["read"].inline == f"mov %cr2, %{ax}; {{disp32}} jmp x"


@pytest.mark.parametrize("arch", [X86_64, I386])
def test_an_op_of_the_general_registers_has_neither_stack_nor_frame(tmp_path: Path, arch: Arch) -> None:
    ops = parsed(tmp_path, '[ops.save]\neach = "general"\nfunction = "pv_save_{}"\n[backends]\n', arch).ops
    names = {name for name in arch.registers if name.startswith(("r", "e"))} - arch.pc - {arch.stack, arch.frame}
    assert set(ops) == {f"save_{name}" for name in names}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('slot = "pv_ops+8"', 'slot = "a"\nfunction = "b"', "ops.two: expected one of function and slot"),
        ('slot = "pv_ops+8"', "", "ops.two: expected one of function and slot"),
        ("two = {", "tow = {", "backends.native: unknown op 'tow'; did you mean 'two'?"),
        ('{ inline = "cli" }', "{}", "backends.native.one: expected one of inline, function and nothing = true"),
        ('{ inline = "cli" }', '{ inline = "cli", nothing = true }', "backends.native.one: expected one of inline"),
        ('{ inline = "cli" }', "{ nothing = false }", "backends.native.one: expected one of inline"),
        ('{ inline = "cli" }', '{ inlin = "cli" }', "unknown key 'inlin'; did you mean 'inline'?"),
        ("clobbers = []", 'clobbers = "rax"', "ops.one: clobbers: expected a list, found 'rax'"),
        ("clobbers = []", "clobber = []", "unknown key 'clobber'; did you mean 'clobbers'?"),
        ("pv_one", "pv_{eaz}", "ops: one: function: unknown register 'eaz'; did you mean 'eax'?"),
        ("[ops.one]", '[ops.one]\neach = "genral"', "each: unknown set of registers 'genral'; did you mean 'general'?"),
        ("[ops.one]", '[ops.one]\neach = ["x y"]', "expected a C identifier, found 'one_x y'"),
        ("[ops.one]", '[ops.one]\neach = ["x", "x"]', "expected ops of different names, found one_x twice"),
        (
            "[ops.one]",
            '[ops.one_x]\nslot = "a"\n[ops.one]\neach = ["x"]',
            "expected ops of different names, found one_x",
        ),
        ("[ops.one]", '[ops."o ne"]', "expected a C identifier, found 'o ne'"),
        ("[backends.other]", '[backends."x;y"]', "expected a C identifier, found 'x;y'"),
        ('function = "pv_one"', "function = 1", "ops.one: function: expected a string, found 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    fails(tmp_path, GOOD.replace(old, new), expected)


@pytest.mark.parametrize("missing", ["ops", "backends"])
def test_a_missing_part_is_named(tmp_path: Path, missing: str) -> None:
    text = '[ops.one]\nfunction = "f"\n' if missing == "backends" else "[backends.x]\n"
    fails(tmp_path, text, f"expected the key '{missing}'")


def test_as_many_ops_as_a_site_can_name_are_taken(tmp_path: Path) -> None:
    text = "[backends]\n" + "".join(f'[ops.o{i}]\nfunction = "f{i}"\n' for i in range((1 << OP_BITS) - 1))
    parsed(tmp_path, text)
    fails(tmp_path, f'{text}[ops.more]\nfunction = "more"\n', "expected 1 to 1023 ops, found 1024")
    fails(tmp_path, "[ops]\n[backends]\n", "expected 1 to 1023 ops, found 0")


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
