"""References, from code that assemblers, compilers and linkers made: each form."""

import pytest

from buildplug.arch.x86 import X86_64
from buildplug.select.references import extract
from tests.conftest import HIGH, LOW, Link
from tests.select.kernel import CODE, KERNEL, LEFT, found, rule

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
    *((f"bp_call_{n} pv_f", f"call in {n}", "pv_f", -4, BOTH) for n in (8, 9, 10, 12, 16, 17, 27, 34)),
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
