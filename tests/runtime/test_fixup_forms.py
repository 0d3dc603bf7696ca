"""What the fixup makes of a site of each form."""

from dataclasses import replace

import pytest

from buildplug.arch import x86
from buildplug.arch.form import ADDRESS, POINTER
from buildplug.runtime.memory import Status
from tests.layouts import FORMS, HIGH, LOW, SIZE, Op, Site, Way, field, lay_out
from tests.runtime.native import (
    BACKEND,
    CLI,
    DEFAULT,
    FUNCTION,
    INLINE,
    KEEP,
    LONG,
    NOTHING,
    OTHER,
    SITE,
    TABLE,
    TEXT,
    Native,
    both,
    one_site,
    to,
)


def becomes(native: Native, form: str, way: Way) -> bytes:
    """What a site becomes; nothing else may change."""
    layout = one_site(form, way)
    status, after = both(native, layout)
    assert status == Status("ok", 0)
    length = FORMS[form][1].length
    assert after.changed(SITE, layout.read(SITE, length)).regions == layout.regions
    return after.read(SITE, length)


CALLS = {
    "call": 5,
    "call in 8": 8,
    "call in 9": 9,
    "call in 10": 10,
    "call in 12": 12,
    "call in 16": 16,
    "call in 17": 17,
    "call in 27": 27,
    "call in 34": 34,
    "addr32 call": 6,
    "cs call": 6,
    "call *rip": 6,
    "call *abs32s": 7,
}
JUMPS = {"jmp": 5, "cs jmp": 6, "jmp *rip": 6, "jmp *abs32s": 7}
NOP = {
    0: "", 1: "90", 2: "6690", 3: "0f1f00", 4: "0f1f4000", 5: "0f1f440000", 6: "660f1f440000", 7: "0f1f8000000000",
    8: "0f1f840000000000", 9: "660f1f840000000000", 10: "662e0f1f840000000000", 11: "66662e0f1f840000000000",
    12: "6666662e0f1f840000000000", 13: "666666662e0f1f840000000000", 14: "66666666662e0f1f840000000000",
    15: "6666666666662e0f1f840000000000",
}  # fmt: skip


def nop(length: int) -> bytes:
    return bytes.fromhex(NOP[15] * (length // 15) + NOP[length % 15])


@pytest.mark.parametrize(("form", "length"), CALLS.items())
class TestCall:
    def test_inline_code_stands_in_its_place_with_the_longest_nop(self, native: Native, form: str, length: int) -> None:
        assert becomes(native, form, CLI) == b"\xfa" + nop(length - 1)

    def test_inline_code_may_fill_it(self, native: Native, form: str, length: int) -> None:
        code = bytes(range(length))
        assert becomes(native, form, Way(INLINE, code)) == code

    def test_code_that_does_not_fit_becomes_a_direct_call(self, native: Native, form: str, length: int) -> None:
        code = bytes(range(length + 1))
        assert becomes(native, form, Way(INLINE, code)) == to(b"\xe8", SITE, INLINE) + nop(length - 5)

    def test_a_function_becomes_a_direct_call(self, native: Native, form: str, length: int) -> None:
        assert becomes(native, form, FUNCTION) == to(b"\xe8", SITE, OTHER) + nop(length - 5)

    def test_the_default_becomes_a_direct_call(self, native: Native, form: str, length: int) -> None:
        assert becomes(native, form, KEEP) == to(b"\xe8", SITE, DEFAULT) + nop(length - 5)

    def test_nothing_becomes_the_longest_nops(self, native: Native, form: str, length: int) -> None:
        assert becomes(native, form, NOTHING) == nop(length)


@pytest.mark.parametrize(("form", "length"), JUMPS.items())
class TestTailJump:
    def test_inline_code_stands_in_its_place_with_a_return(self, native: Native, form: str, length: int) -> None:
        assert becomes(native, form, CLI) == b"\xfa\xc3" + nop(length - 2)

    def test_inline_code_and_its_return_may_fill_it(self, native: Native, form: str, length: int) -> None:
        code = bytes(range(length - 1))
        assert becomes(native, form, Way(INLINE, code)) == code + b"\xc3"

    def test_code_that_fits_only_without_its_return_is_jumped_to(self, native: Native, form: str, length: int) -> None:
        code = bytes(range(length))
        assert becomes(native, form, Way(INLINE, code)) == to(b"\xe9", SITE, INLINE) + nop(length - 5)

    def test_a_function_becomes_a_direct_jump(self, native: Native, form: str, length: int) -> None:
        assert becomes(native, form, FUNCTION) == to(b"\xe9", SITE, OTHER) + nop(length - 5)

    def test_nothing_becomes_a_return(self, native: Native, form: str, length: int) -> None:
        assert becomes(native, form, NOTHING) == b"\xc3" + nop(length - 1)


@pytest.mark.parametrize(("form", "opcode"), [("jcc", b"\x0f\x80"), ("cs jcc", b"\x2e\x0f\x80")])
@pytest.mark.parametrize("way", [CLI, LONG, FUNCTION, NOTHING, KEEP])
def test_a_conditional_jump_is_retargeted(native: Native, form: str, opcode: bytes, way: Way) -> None:
    assert becomes(native, form, way) == to(opcode, SITE, way.address or DEFAULT)


@pytest.mark.parametrize("form", [f.name for f in x86.X86_64.forms if f.kind in (ADDRESS, POINTER)])
@pytest.mark.parametrize("way", [CLI, LONG, FUNCTION, NOTHING, KEEP])
def test_pointers_and_addresses_say_the_function(native: Native, form: str, way: Way) -> None:
    before = one_site(form, way).read(SITE, FORMS[form][1].length)
    record = FORMS[form][1]
    value = field(record, SITE, way.address or DEFAULT)
    assert value is not None
    assert becomes(native, form, way) == before[: record.at] + value


def test_every_form_has_its_row_here() -> None:
    others = {f.name for f in x86.X86_64.forms if not f.kind.inline}
    assert {*CALLS, *JUMPS, *others} == set(FORMS)


def test_bits_that_a_form_leaves_open_stay(native: Native) -> None:
    # lea to r9 (4c 8d 0d): the register is no part of what is compared, nor of what is written
    layout = one_site("lea rip, r64", FUNCTION).changed(SITE, b"\x4c\x8d\x0d")
    status, after = both(native, layout)
    assert status.error == "ok"
    value = field(FORMS["lea rip, r64"][1], SITE, OTHER)
    assert after.read(SITE, 7) == b"\x4c\x8d\x0d" + (value or b"")


def test_a_function_out_of_reach_is_refused(native: Native) -> None:
    # the default lies 8 GiB away from the site of a call through a slot
    regions = [(LOW, bytes(SIZE)), (HIGH, bytes(SIZE))]
    sections = [(TEXT, 0x100), (HIGH, 0x100)]
    layout = lay_out(
        regions, TABLE, BACKEND, sections, [Op((1, 0), (0, 0x80))], [Site(0, 0x10, "call *rip", 0)], [KEEP]
    )
    assert both(native, layout)[0] == Status("out_of_range", 0)


def test_a_function_that_only_the_first_site_reaches_is_refused(native: Native) -> None:
    table, backend, text = (HIGH + (at - LOW) for at in (TABLE, BACKEND, TEXT))
    sites = [Site(0, 0x10, "call", 0), Site(0, 0x20, "call", 0)]
    last = text + 0x10 + 5 - (1 << 31)  # that a call at 0x10 reaches
    layout = lay_out([(HIGH, b"\xcc" * SIZE)], table, backend, [(text, 0x100)], [Op((0, 0x80))], sites, [Way(last)])
    assert both(native, layout)[0] == Status("out_of_range", 1)


def test_a_pointer_reaches_anything(native: Native) -> None:
    regions = [(LOW, bytes(SIZE)), (HIGH, bytes(SIZE))]
    sites = [Site(0, 0x10, "pointer", 0)]
    layout = lay_out(regions, TABLE, BACKEND, [(TEXT, 0x100), (HIGH, 0x100)], [Op((1, 8))], sites, [KEEP])
    status, after = both(native, layout)
    assert (status.error, after.read(SITE, 8)) == ("ok", (HIGH + 8).to_bytes(8, "little"))


def test_an_address_that_does_not_fit_its_field_is_refused(native: Native) -> None:
    regions = [(LOW, bytes(SIZE)), (HIGH, bytes(SIZE))]
    layout = lay_out(
        regions, HIGH + 0x400, HIGH + 0x200, [(LOW, 0x100), (HIGH, 0x100)], [Op((0, 8))],
        [Site(1, 0, "imm32", 0)], [Way(HIGH + 0x80)],
    )  # fmt: skip
    assert both(native, layout)[0] == Status("out_of_range", 0)


def test_an_op_that_nobody_implements_is_refused(native: Native) -> None:
    assert both(native, one_site("call *rip", KEEP, Op(None, (1, 0x20))))[0] == Status("no_function", 0)


def test_an_op_without_a_default_is_what_the_backend_gives(native: Native) -> None:
    status, after = both(native, one_site("call *rip", FUNCTION, Op(None, (1, 0x20))))
    assert (status.error, after.read(SITE, 6)) == ("ok", to(b"\xe8", SITE, OTHER) + b"\x90")


def test_a_call_of_an_op_without_a_function_is_refused(native: Native) -> None:
    layout = one_site("call", FUNCTION)
    ops = layout.table.ops.copy()
    ops["function_section"] = 0xFFFF
    assert both(native, layout.with_table(replace(layout.table, ops=ops)))[0] == Status("bad_site", 0)
