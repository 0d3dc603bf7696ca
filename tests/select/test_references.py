"""References, from code that assemblers, compilers and linkers made: each form, and what is none."""

import dataclasses
from typing import Any

import pytest

from buildplug.arch.x86 import X86_64
from buildplug.base.errors import BuildplugError
from buildplug.config import select as config
from buildplug.config.rule import Rule
from buildplug.image.elf import Image
from buildplug.select.references import References, extract
from tests import elfwriter
from tests.conftest import HIGH, LOW, Link, Written
from tests.elfwriter import ALLOC, EXEC, FUNC, File, Relocation, Section, Symbol

LEFT = ("interior", "got", "relative-pointer", "slot-load", "slot-store", "slot-compare", "slot-address", "indexed")

# Two functions and an ops struct, each between neighbours that no rule selects.
KERNEL = """
    .section .text.kernel, "ax"
    .type before, @function
before:
    nop; ret
    .size before, . - before
    .globl pv_f, pv_g
    .type pv_f, @function
pv_f:
    nop; nop; nop; nop; nop; nop; nop; nop; ret
    .size pv_f, . - pv_f
    .type pv_g, @function
pv_g:
    ret
    .size pv_g, . - pv_g
    .type after, @function
after:
    ret
    .size after, . - after
    .data
    .balign 8
    .globl above, below, pv_ops
    .type above, @object
above:
    .quad 0, 0
    .size above, . - above
    .type pv_ops, @object
pv_ops:
    .skip 32
    .size pv_ops, . - pv_ops
    .type below, @object
below:
    .quad 0, 0
    .size below, . - below
    .text
    .globl code
    .type code, @function
code:
    nop
"""
CODE = 1  # offset of what a test adds


def rule(**select: Any) -> Rule:
    chosen = {"functions": ("pv_*",), "slots": ("pv_*ops",)} | select
    return Rule("test", "what the tests refer to", config.References(**chosen))


def found(image: Image, wanted: Rule | None = None, section: str = ".text") -> list[tuple[int, str, str, int]]:
    """(offset, form, symbol, addend) of the references from a section."""
    references = extract(image, wanted or rule(leave=LEFT))
    return [
        (row[1], X86_64.forms[row[2]].name, references.targets[row[3]].name, row[5])
        for row in references.rows.tolist()
        if image.sections[row[0]].name == section
    ]


def left(image: Image, **select: Any) -> dict[str, int]:
    """What a rule that leaves everything alone counts; no row may come of it."""
    references = extract(image, rule(leave=(*LEFT, "other"), **select))
    assert len(references.rows) == 0
    return references.ignored


BOTH, LOW_ONLY = (LOW, HIGH), (LOW,)
SITES = [
    ("call *pv_ops+8", "call *abs32s", "pv_ops", 8, BOTH),
    ("jmp *pv_ops+16", "jmp *abs32s", "pv_ops", 16, BOTH),
    ("lea pv_f(%rip), %rax", "lea rip, r64", "pv_f", -4, BOTH),
    ("lea pv_f(%rip), %r9", "lea rip, r64", "pv_f", -4, BOTH),
    ("mov $pv_f, %rdi", "mov imm32s, r64", "pv_f", 0, BOTH),
    ("mov $pv_f, %r12", "mov imm32s, r64", "pv_f", 0, BOTH),
    ("call *pv_ops(%rip)", "call *rip", "pv_ops", -4, BOTH),
    ("call *pv_ops+24(%rip)", "call *rip", "pv_ops", 20, BOTH),
    ("jmp *pv_ops+8(%rip)", "jmp *rip", "pv_ops", 4, BOTH),
    ("jne pv_f", "jcc", "pv_f", -4, BOTH),
    ("jo pv_g", "jcc", "pv_g", -4, BOTH),
    ("jg pv_g", "jcc", "pv_g", -4, BOTH),
    ("cs; jg pv_g", "cs jcc", "pv_g", -4, BOTH),
    ("movabs $pv_f, %rbx", "movabs imm64, r64", "pv_f", 0, BOTH),
    ("movabs $pv_f, %r15", "movabs imm64, r64", "pv_f", 0, BOTH),
    ("call pv_f", "call", "pv_f", -4, BOTH),
    ("call pv_f; .nops 5", "call", "pv_f", -4, BOTH),
    *((f"bp_call_{n} pv_f", f"call in {n}", "pv_f", -4, BOTH) for n in (8, 10, 12, 16)),
    ("call pv_f@PLT", "call", "pv_f", -4, BOTH),
    ("jmp pv_g", "jmp", "pv_g", -4, BOTH),
    ("cs; call pv_f", "cs call", "pv_f", -4, BOTH),
    ("cs; jmp pv_g", "cs jmp", "pv_g", -4, BOTH),
    ("mov $pv_f, %ecx", "mov imm32, r32", "pv_f", 0, LOW_ONLY),
    ("mov $pv_f, %r8d", "mov imm32, r8d-r15d", "pv_f", 0, LOW_ONLY),
    ("cmp $pv_f, %rcx", "imm32s", "pv_f", 0, BOTH),
    ("push $pv_f", "imm32s", "pv_f", 0, BOTH),
    ("movq $pv_f, 8(%rdi)", "imm32s", "pv_f", 0, BOTH),
    ("movq $pv_f, above(%rip)", "imm32s", "pv_f", 0, BOTH),
    ("movl $pv_f, (%rdi)", "imm32", "pv_f", 0, LOW_ONLY),
]
PLACED = [(*site[:-1], base) for site in SITES for base in site[-1]]


def test_every_form_is_looked_for_here() -> None:
    others = {"addr32 call", "pointer", "pointer32"}  # which have tests of their own
    assert {form for _, form, *_ in SITES} | others == {form.name for form in X86_64.forms}


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
@pytest.mark.parametrize(("code", "form", "symbol", "addend", "base"), PLACED)
def test_a_site_is_recognised(link: Link, ld: str, code: str, form: str, symbol: str, addend: int, base: int) -> None:
    image = link(f"{KERNEL} {code}", base=base, ld=ld)
    ((offset, *rest),) = found(image)
    assert rest == [form, symbol, addend]
    record = next(f for f in X86_64.forms if f.name == form)
    text = image.bytes_of(image.section(".text")).tobytes()
    here = text[offset : offset + record.length]
    assert bytes(b & m for b, m in zip(here, record.mask, strict=True)) == record.code
    assert offset == CODE if record.opcode else offset > CODE


@pytest.mark.parametrize(
    ("code", "form", "base"),
    [(".quad pv_f", "pointer", LOW), (".quad pv_f", "pointer", HIGH), (".long pv_f", "pointer32", LOW)],
)
@pytest.mark.parametrize("section", [".rodata", ".data"])
def test_a_pointer_in_data_is_recognised(link: Link, code: str, form: str, base: int, section: str) -> None:
    image = link(f'{KERNEL}\n.section {section}.x, "a{"w" * (section == ".data")}"\n.quad 0\n{code}', base=base)
    start = image.section(section).size - X86_64.forms[-2 if form == "pointer" else -1].length
    assert found(image, section=section) == [(start, form, "pv_f", 0)]


RELAXED = "call *pv_f@GOTPCREL(%rip)\njmp *pv_f@GOTPCREL(%rip)\nmov pv_f@GOTPCREL(%rip), %rdx\nret"


@pytest.mark.parametrize(("ld", "jump"), [("ld", 0), ("ld.lld", 0)])
@pytest.mark.parametrize("base", BOTH)
def test_calls_by_way_of_the_got_are_seen_as_what_the_linker_made_of_them(
    link: Link, ld: str, jump: int, base: int
) -> None:
    image = link(KERNEL + RELAXED, ld=ld, base=base)
    call, jmp, mov = found(image)
    assert (call[0], call[1], call[2]) == (CODE, "addr32 call", "pv_f")
    assert (jmp[0], jmp[1], jmp[2]) == (CODE + 6 + jump, "jmp", "pv_f")
    assert (mov[0], mov[2]) == (CODE + 12, "pv_f")
    assert mov[1] in ("lea rip, r64", "mov imm32s, r64")


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_sites_of_local_symbols_are_found_through_their_section(link: Link, ld: str) -> None:
    source = KERNEL.replace(".globl pv_f, pv_g", "").replace(".globl above, below, pv_ops", "")
    image = link(source + "call pv_f\njmp pv_g\ncall *pv_ops+8(%rip)\nmov $pv_g, %rdi\nlea pv_f(%rip), %rsi", ld=ld)
    assert [(form, symbol) for _, form, symbol, _ in found(image)] == [
        ("call", "pv_f"), ("jmp", "pv_g"), ("call *rip", "pv_ops"), ("mov imm32s, r64", "pv_g"),
        ("lea rip, r64", "pv_f"),
    ]  # fmt: skip


@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_static_functions_of_c_are_found(link: Link, ld: str) -> None:
    image = link(
        """
        struct ops { void (*first)(void), (*second)(void); };
        __attribute__((section(".text.pv"), noinline, noclone, noipa)) static void pv_static(void) { asm volatile(""); }
        __attribute__((noinline, noclone, noipa)) void pv_global(void) { asm volatile(""); }
        struct ops pv_some_ops = { pv_static, pv_global };
        int f(int x) { pv_static(); pv_some_ops.second(); if (x) pv_global(); return x; }
        void *g(void) { return pv_static; }
        void tail(void) { pv_some_ops.first(); }
        """,
        language="c", ld=ld,
    )  # fmt: skip
    references = extract(image, rule(leave=LEFT))
    seen = {
        (X86_64.forms[r["form"]].kind.name, references.targets[r["target"]].name, int(r["addend"]) & ~3)
        for r in references.rows
    }
    assert {("call", "pv_static", -4), ("address", "pv_static", 0), ("slot-call", "pv_some_ops", 4),
            ("slot-jump", "pv_some_ops", -4), ("pointer", "pv_static", 0),
            ("pointer", "pv_global", 0)} <= seen  # fmt: skip


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("mov pv_ops+8(%rip), %rax", "slot-load"),
        ("mov pv_ops+8, %rax", "slot-load"),
        ("push pv_ops+8(%rip)", "slot-load"),
        ("mov %rax, pv_ops+8(%rip)", "slot-store"),
        ("movq $1, pv_ops+8(%rip)", "slot-store"),
        ("movq $pv_f_not, pv_ops+8(%rip)", "slot-store"),
        ("movb $1, pv_ops+8(%rip)", "slot-store"),
        ("movw $1, pv_ops+8(%rip)", "slot-store"),
        ("cmpq $1, pv_ops+8(%rip)", "slot-compare"),
        ("cmpq $0x12345, pv_ops+8(%rip)", "slot-compare"),
        ("cmp %rax, pv_ops+8(%rip)", "slot-compare"),
        ("cmpb $1, pv_ops(%rip)", "slot-compare"),
        ("cmpw $0x1234, pv_ops(%rip)", "slot-compare"),
        ("cmpq $0x12345, pv_ops(%rip)", "slot-compare"),
        ("movl $1, pv_ops(%rip)", "slot-store"),
        ("testb $1, pv_ops(%rip)", "slot-compare"),
        ("lea pv_ops+8(%rip), %rax", "slot-address"),
        ("mov $pv_ops, %rdi", "slot-address"),
        ("mov $pv_ops+8, %edi", "slot-address"),
        ("movabs $pv_ops, %rdi", "slot-address"),
        (".section .rodata\n.quad pv_ops+8", "slot-address"),
        (".section .rodata\n.long pv_ops+8", "slot-address"),
        ("call *pv_ops(,%rax,8)", "indexed"),
        ("jmp *pv_ops(%rbx)", "indexed"),
        ("mov pv_ops(,%rcx,8), %rax", "indexed"),
        ("call pv_f+2", "interior"),
        ("lea pv_f+1(%rip), %rax", "interior"),
        ("mov $pv_f+8, %rdi", "interior"),
        (".section .rodata\n.quad pv_f+3", "interior"),
        (".section .rodata\n.long pv_f - .", "relative-pointer"),
        (".section .rodata\n.long pv_ops+8 - .", "relative-pointer"),
        ("mov pv_ops@GOTPCREL(%rip), %rax", "slot-address"),
        ("cmp pv_f(%rip), %rax", "other"),
        ("mov pv_f(%rip), %rax", "other"),
    ],
)
def test_what_no_fixup_redirects_is_counted_by_its_kind(link: Link, code: str, kind: str) -> None:
    assert left(link(f".set pv_f_not, 5\n{KERNEL} {code}")) == {kind: 1}


@pytest.mark.parametrize("code", ["call *pv_f@GOTPCREL(%rip)", "mov pv_f@GOTPCREL(%rip), %rax"])
def test_a_reference_that_stays_in_the_got_is_counted_as_such(link: Link, code: str) -> None:
    assert left(link(KERNEL + code, flags=["--no-relax"])) == {"got": 1}


@pytest.mark.parametrize("size", [1, 4, 40])
def test_a_relative_pointer_in_a_table_among_code_is_counted(link: Link, size: int) -> None:
    source = f"""{KERNEL}
    .section .text.tiny, "ax"
    .globl pv_tiny
    .type pv_tiny, @function
pv_tiny:
    .skip {size}, 0x90
    .size pv_tiny, . - pv_tiny
    .text
    .type jumps, @object
jumps:
    .long pv_tiny - .
    .size jumps, . - jumps
    """
    assert left(link(source)) == {"relative-pointer": 1}


@pytest.mark.parametrize(
    ("code", "offset", "text", "symbol"),
    [
        ("mov pv_ops+8(%rip), %rax", 4, "slot-load of pv_ops", "48 8b 05"),
        ("cmpq $1, pv_ops+8(%rip)", 4, "slot-compare of pv_ops", "48 83 3d"),
        ("call pv_f+2", 2, "interior of pv_f", "e8"),
        ("mov pv_f(%rip), %rax", 4, "other of pv_f", "48 8b 05"),
    ],
)
def test_a_kind_neither_taken_nor_left_is_an_error_that_shows_it(
    link: Link, code: str, offset: int, text: str, symbol: str
) -> None:
    image = link(KERNEL + code)
    with pytest.raises(BuildplugError) as caught:
        extract(image, rule())
    message = str(caught.value)
    for part in (str(image.path), f".text+{offset:#x}", text, symbol, "leave"):
        assert part in message
    assert "\n" not in message


def test_a_kind_that_a_rule_neither_takes_nor_leaves_is_an_error(link: Link) -> None:
    image = link(KERNEL + "call pv_f\njmp pv_f")
    with pytest.raises(BuildplugError, match=r"\.text\+0x6: .* found jump of pv_f \(a site\), bytes .*add 'jump'"):
        extract(image, rule(kinds=("call",)))
    assert extract(image, rule(kinds=("call",), leave=("jump",))).ignored == {"jump": 1}


@pytest.mark.parametrize("prefix", ["0x2e", "0x3e", "0x66", "0x67", "0xf2", "0x48", "0x67, 0x2e"])
def test_a_prefix_makes_a_call_something_else(link: Link, prefix: str) -> None:
    # it would stay in front of whatever replaces the call; 67 e8 and 2e e8 have forms of their own
    image = link(f"{KERNEL} .byte {prefix}; call pv_f; nop; nop")
    forms = {"0x67": "addr32 call", "0x2e": "cs call"}
    if prefix in forms:
        assert found(image) == [(CODE, forms[prefix], "pv_f", -4)]
    else:
        assert left(image) == {"other": 1}


@pytest.mark.parametrize("prefix", ["0x2e", "0x3e", "0x41", "0xf2"])
def test_a_prefix_makes_a_call_through_a_slot_something_else(link: Link, prefix: str) -> None:
    image = link(f"{KERNEL} .byte {prefix}; call *pv_ops+8(%rip)")
    assert sum(left(image).values()) == 1


@pytest.mark.parametrize("byte", ["0x67", "0x48", "0x2e", "0x66", "0xf3"])
@pytest.mark.parametrize("code", ["call pv_f", "jmp pv_f", "call *pv_ops(%rip)", "jne pv_f", "lea pv_f(%rip), %rax"])
def test_the_end_of_the_instruction_before_is_no_prefix(link: Link, byte: str, code: str) -> None:
    assert [offset for offset, *_ in found(link(f"{KERNEL} mov ${byte}, %al; {code}"))] == [CODE + 2]
    assert [offset for offset, *_ in found(link(f"{KERNEL} movl ${byte}000000, 4(%rdx); {code}"))] == [CODE + 7]


@pytest.mark.parametrize("opcode", ["0xe8", "0xe9", "0xb8", "0xc0"])
def test_the_end_of_an_instruction_before_an_immediate_is_no_opcode(link: Link, opcode: str) -> None:
    # the displacement's last byte stands directly before the immediate
    image = link(f"{KERNEL} movq $pv_f, {opcode}000000 - 0x100000000(%rdi)")
    ((offset, form, symbol, _),) = found(image)
    assert (offset, form, symbol) == (CODE + 7, "imm32s", "pv_f")


def test_data_objects_among_code_are_data(link: Link) -> None:
    source = f"""{KERNEL}
    jmp 1f
    .type list, @object
list:
    .quad pv_f
    .long 0xe8000000
    .quad pv_g
    .size list, . - list
1:  call pv_f
    """
    rows = [(form, symbol) for _, form, symbol, _ in found(link(source))]
    assert rows == [("pointer", "pv_f"), ("pointer", "pv_g"), ("call", "pv_f")]


def test_aligned_data_that_looks_like_code_is_data(link: Link) -> None:
    source = f"{KERNEL}\n.section .rodata\n.byte 0,0,0,0, 0,0,0,0xe8\n.long pv_f - . - 4\n.long 0\n.quad pv_f"
    image = link(source)
    assert found(image, section=".rodata") == [(16, "pointer", "pv_f", 0)]
    assert extract(image, rule(leave=LEFT)).ignored in ({"relative-pointer": 1}, {})


def test_code_behind_data_in_the_code_is_still_found(link: Link) -> None:
    image = link(f"{KERNEL} jmp 1f; .byte 0x06, 0x0e, 0x48; 1: call pv_f; call *pv_ops(%rip)")
    assert [form for _, form, _, _ in found(image, rule(leave=(*LEFT, "other")))][-1] == "call *rip"


CALLS = (
    KERNEL
    + "call pv_f\ncall pv_g\ncall before\ncall after\ncall *pv_ops+8(%rip)\ncall *above+8(%rip)\ncall *below(%rip)"
)


def names(image: Image, **select: Any) -> list[str]:
    chosen = {"functions": (), "slots": ()} | select
    return [symbol for _, _, symbol, _ in found(image, rule(leave=LEFT, **chosen))]


def test_globs_select(link: Link) -> None:
    image = link(CALLS)
    assert names(image, functions=("pv_f",)) == ["pv_f"]
    assert names(image, functions=("pv_?",)) == ["pv_f", "pv_g"]
    assert names(image, functions=("[ab]*",)) == ["before", "after"]
    assert names(image, slots=("pv_*",)) == ["pv_ops"]


def test_functions_are_no_slots_and_slots_no_functions(link: Link) -> None:
    image = link(CALLS)
    assert names(image, functions=("*",), exclude=("code",)) == ["pv_f", "pv_g", "before", "after"]
    assert names(image, slots=("*",)) == ["pv_ops", "above", "below"]


def test_what_is_excluded_is_not_selected(link: Link) -> None:
    assert names(link(CALLS), functions=("pv_*",), exclude=("*_g",)) == ["pv_f"]


def test_a_range_selects_by_address(link: Link) -> None:
    image = link(CALLS)
    assert names(image, ranges=(("pv_f", "after"),)) == ["pv_f", "pv_g"]
    start, end = (image.address_of(name) or 0 for name in ("pv_g", "after"))
    assert names(image, ranges=((hex(start), str(end)),)) == ["pv_g"]
    assert names(image, ranges=(("pv_f", "pv_g"), ("pv_ops", "below"))) == ["pv_f", "pv_ops"]


def test_a_range_without_its_bounds_is_an_error(link: Link) -> None:
    with pytest.raises(BuildplugError, match="expected a symbol or an integer, found 'nowhere'"):
        extract(link(CALLS), rule(ranges=(("nowhere", "1"),)))


def test_sections_are_chosen_and_skipped(link: Link) -> None:
    image = link(f"{KERNEL} call pv_f\n.section .rodata\n.quad pv_g")
    assert found(image, rule(sections=(".rodata",)), ".rodata") == [(0, "pointer", "pv_g", 0)]
    assert found(image, rule(sections=(".rodata",))) == []
    assert found(image, rule(skip=(".ro*",)), ".rodata") == []


def test_neighbours_of_a_slot_object_are_not_selected(link: Link) -> None:
    # the last byte of `above` and the first of `below`, with and without an immediate behind the field
    code = "\n".join(
        f"cmp{s} $1, {place}(%rip)" for s in "bwlq" for place in ("above+8", "above+15", "below", "below+1", "pv_ops-1")
    )
    image = link(f"{KERNEL}{code}\ncall *above+8(%rip)\nmov below(%rip), %rax\ncall *pv_ops+24(%rip)")
    references = extract(image, rule())
    assert [(r["addend"], references.ignored) for r in references.rows] == [(20, {})]


def test_neighbours_of_a_function_are_not_selected(link: Link) -> None:
    assert left(link(f"{KERNEL} call before\ncall after\nlea after(%rip), %rax\nmov $before, %rdi")) == {}


def test_every_word_of_a_slot_object_is_selected_whatever_alias_it_has(link: Link) -> None:
    source = KERNEL + "call *pv_ops+8(%rip)\ncall *pv_ops+24(%rip)\n"
    for alias in (
        ".globl pv_a_ops\n.set pv_a_ops, pv_ops\n.size pv_a_ops, 8",
        ".globl pv_in_ops\n.set pv_in_ops, pv_ops+8\n.size pv_in_ops, 8",
    ):
        assert len(found(link(source + alias))) == 2


def test_rows_come_in_the_order_of_places(link: Link) -> None:
    image = link(f"{KERNEL} call pv_g\ncall pv_f\n.section .rodata\n.quad pv_g, pv_f\n.text\njmp pv_f")
    rows = extract(image, rule(leave=LEFT)).rows
    places = list(zip(rows["section"].tolist(), rows["offset"].tolist(), strict=True))
    assert len(places) == 5
    assert places == sorted(places)


def test_an_image_without_relocations_is_refused(link: Link, written: Written) -> None:
    image = link(KERNEL + "nop")
    file = File((Section(".text", bytes(16), LOW, ALLOC | EXEC),), (Symbol("pv_f", LOW, 8, FUNC),), {})
    with pytest.raises(BuildplugError, match="expected relocations, found none; link with --emit-relocs"):
        extract(Image(written(file)), rule())
    assert image.address_of("pv_f")


def test_an_object_file_is_refused(written: Written) -> None:
    path = written(File((Section(".text", bytes(16), 0, ALLOC | EXEC),), type=elfwriter.ET_REL))
    with pytest.raises(BuildplugError, match="expected a linked image, found ET_REL"):
        extract(Image(path), rule())


def test_a_rule_that_matches_nothing_is_an_error(link: Link) -> None:
    with pytest.raises(BuildplugError, match=r"rule test: expected symbols px_\*, py, found none"):
        extract(link(KERNEL), rule(functions=("px_*",), slots=("py",)))


def test_undefined_symbols_are_not_selected(link: Link) -> None:
    image = link(f"{KERNEL} call pv_f\n.weak pv_gone\ncall pv_gone")
    assert [symbol for _, _, symbol, _ in found(image)] == ["pv_f"]


def one_call(field: int, type_: int = 2, addend: int = -4, symbol: int = 1, name: str = "pv_f") -> File:
    """A call in .text to a function at +0x20 whose field holds `field`."""
    text = bytearray(64)
    text[0:5] = b"\xe8" + field.to_bytes(4, "little", signed=True)
    return File(
        (Section(".text", bytes(text), LOW, ALLOC | EXEC),),
        (Symbol(name, LOW + 0x20, 8, FUNC), Symbol("code", LOW, 5, FUNC)),
        {1: (Relocation(LOW + 1, type_, symbol, addend),)},
    )


def test_a_call_is_found_whatever_wrote_the_file(written: Written) -> None:
    assert found(Image(written(one_call(0x20 - 5)))) == [(0, "call", "pv_f", -4)]


def test_a_field_that_does_not_hold_what_its_relocation_says_is_no_site(written: Written) -> None:
    with pytest.raises(BuildplugError, match=r"\.text\+0x1: .* found other of pv_f"):
        extract(Image(written(one_call(0x21 - 5))), rule())


def test_a_relocation_of_an_unknown_type_is_never_skipped(written: Written) -> None:
    for number in (99, 300):
        with pytest.raises(BuildplugError, match=r"\.text\+0x1: .* against pv_f"):
            extract(Image(written(one_call(0, number, 0))), rule())


def test_implicit_addends_give_the_same_rows(written: Written) -> None:
    path = written(dataclasses.replace(one_call(0x20 - 5), rela=False))
    assert found(Image(path)) == [(0, "call", "pv_f", -4)]


def test_a_site_at_the_end_of_its_section_is_whole_or_none(written: Written) -> None:
    file = one_call(0x20 - 5)
    cut = dataclasses.replace(
        file, sections=(dataclasses.replace(file.sections[0], content=b"\xe8\x1b\0\0"),),
        symbols=(Symbol("pv_f", LOW + 0x20, 8, FUNC),),
    )  # fmt: skip
    with pytest.raises(BuildplugError, match="found other of pv_f"):
        extract(Image(written(cut)), rule(functions=("pv_f",)))


HOSTILE = [
    'pv_"quoted"', "pv_new\nline", "pv_*/ .globl evil /*", "pv_# comment", "pv_{{ 7 * 7 }}", "pv_{% raw %}", "pv_%s%n",
    "pv_; ret", "pv_\\", "pv_é", "pv_\x1b[31m", "pv_ ", "pv_$(reboot)",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_found_and_told_on_one_line(written: Written, name: str) -> None:
    image = Image(written(one_call(0x20 - 5, name=name)))
    assert found(image) == [(0, "call", name, -4)]
    with pytest.raises(BuildplugError) as caught:
        extract(image, rule(kinds=("jump",)))
    assert str(caught.value).isprintable()


def test_a_name_that_only_quotes_allow_comes_through_the_tools(link: Link) -> None:
    name = "pv_odd {{ name }} */"
    source = f'{KERNEL} call "{name}"\n.globl "{name}"\n.section .text.odd, "ax"\n"{name}": ret'
    assert found(link(source))[0][1:3] == ("call", name)


def test_the_same_image_gives_the_same_rows(link: Link) -> None:
    image = link(CALLS)

    def seen(references: References) -> tuple[Any, ...]:
        return references.targets, references.rows.tobytes(), references.ignored

    assert seen(extract(image, rule(leave=LEFT))) == seen(extract(Image(image.path), rule(leave=LEFT)))
