"""The check of inline code, on code that was assembled and linked: what is refused, and what is not."""

import pytest

from buildplug.backends.clobbers import check
from buildplug.base.errors import BuildplugError
from buildplug.tables.sites import table_of
from tests.conftest import Draft, Drafted

KERNEL = """
    .text
    .globl pv_x, pv_ops, target, value
    .type pv_x, @function
pv_x: ret
    .size pv_x, . - pv_x
target: ret
    .section .text.site, "ax"
    {site}
    .data
    .type pv_ops, @object
pv_ops: .quad pv_x
    .size pv_ops, . - pv_ops
value: .quad 0
"""


def draft(drafted: Drafted, code: str, clobbers: str | None, site: str = "call pv_x", op: str = "") -> Draft:
    declared = "" if clobbers is None else f"clobbers = {clobbers}\n"
    where = op or 'function = "pv_x"'
    return drafted(
        KERNEL.format(site=site), f"[ops.x]\n{where}\n{declared}\n[backends.some]\nx = {{ inline = '{code}' }}\n"
    )


def checked(made: Draft) -> None:
    table, _ = table_of(made.image, made.rule, made.ops)
    check(made.image, made.rule, made.ops, table)


def refused(made: Draft, expected: str) -> None:
    with pytest.raises(BuildplugError) as caught:
        checked(made)
    assert str(caught.value).startswith("backend some, op x: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "clobbers"),
    [
        ("cli", "[]"),
        ("sti", "[]"),
        ("nop", "[]"),
        ("pushf; pop %rax", '["rax"]'),
        ("push %rdi; popf", '["flags"]'),
        ("push %rbx; pop %rbx", '["rbx"]'),
        ("mov %cr2, %rax", '["rax"]'),
        ("mov %rdi, %cr3", "[]"),
        ("mov %rsi, (%rdi)", '["memory"]'),
        ("mov %rdi, %rax", '["eax"]'),
        ("mov $1, %ah", '["rax"]'),
        ("xor %eax, %eax", '["rax", "flags"]'),
        ("mov %rdi, %r11", None),
        ("xor %ecx, %ecx", None),
        ("mov %rdi, (%rsi)", None),
        ("mov $1, %r10b", None),
        ("hlt", "[]"),
        ("invlpg (%rdi)", '["memory"]'),
        ("lfence", "[]"),
        ("wrmsr", "[]"),
        ("rdmsr", '["rax", "rdx"]'),
        ("cpuid", '["rax", "rbx", "rcx", "rdx"]'),
    ],
)
def test_code_that_writes_what_it_may_is_taken(drafted: Drafted, code: str, clobbers: str | None) -> None:
    checked(draft(drafted, code, clobbers))


@pytest.mark.parametrize(
    ("code", "clobbers", "instruction", "register"),
    [
        ("mov %rdi, %rbx", None, "mov rbx, rdi", "rbx"),
        ("mov $1, %bl", None, "mov bl, 1", "rbx"),
        ("mov %rdi, %rax", "[]", "mov rax, rdi", "rax"),
        ("mov %rdi, %r12", None, "mov r12, rdi", "r12"),
        ("mov %edi, %ebp", None, "mov ebp, edi", "rbp"),
        ("mov %rdi, %rsp", None, "mov rsp, rdi", "rsp"),
        ("xor %eax, %eax", '["rax"]', "xor eax, eax", "flags"),
        ("add $8, %rsp", None, "add rsp, 8", "rsp"),
        ("mov %rsi, (%rdi)", '["rax"]', "mov qword ptr [rdi], rsi", "memory"),
        ("incl (%rdi)", '["flags"]', "inc dword ptr [rdi]", "memory"),
        ("push %rdi; popf", "[]", "popfq", "flags"),
        ("pushf; pop %rax", "[]", "pop rax", "rax"),
        ("cld; stosb", '["rdi"]', "cld", "flags"),
        ("stosb", '["rdi"]', "stosb", "memory"),
        ("stosb", '["memory"]', "stosb", "rdi"),
        ("xchg %rax, %rbx", '["rax"]', "xchg", "rbx"),
        ("rdtsc", '["rax"]', "rdtsc", "rdx"),
        ("rdmsr", '["rax"]', "rdmsr", "rdx"),
        ("cpuid", None, "cpuid", "rbx"),
        ("nop; nop; mov %rdi, %r15", None, "mov r15, rdi", "r15"),
        ("push %rdi; pop %rbx", None, "pop rbx", "rbx"),
        ("push %rax; pop (%rdi)", '["rax"]', "pop", "memory"),
    ],
)
def test_a_write_that_is_not_declared_is_refused(
    drafted: Drafted, code: str, clobbers: str | None, instruction: str, register: str
) -> None:
    refused(draft(drafted, code, clobbers), f"'{instruction}")
    refused(draft(drafted, code, clobbers), f"writes {register}; expected only")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("push %rax", "leaves values on the stack"),
        ("push %rax; push %rax; pop %rax", "leaves values on the stack"),
        ("pushf", "leaves values on the stack"),
        ("pop %rax", "'pop rax' pops what the code did not push"),
        ("pop %rax; push %rax", "'pop rax' pops what the code did not push"),
        ("popf", "pops what the code did not push"),
    ],
)
def test_code_that_moves_the_stack_is_refused(drafted: Drafted, code: str, expected: str) -> None:
    refused(draft(drafted, code, None), expected)


@pytest.mark.parametrize(
    ("code", "found"),
    [("ret", "ret"), ("jmp *%rax", "jmp rax"), ("call *%rax", "call rax"), ("jmp target", "jmp 0x"),
     ("jz .+9", "je 0x"), ("jmp *(%rax)", "jmp qword"), ("loop .", "loop")],
)  # fmt: skip
def test_code_that_would_be_copied_and_goes_elsewhere_is_refused(drafted: Drafted, code: str, found: str) -> None:
    refused(draft(drafted, code, None), f"expected position-independent code, found '{found}")


ROOM = "call pv_x; .fill 13, 1, 0x3e; .byte 0x66, 0x90, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x66, 0x90"  # 27 bytes
TAKE = "cmpb $0, value; je 1f; call *{}; 1:"
WORDS = """
    .globl quiet_word, loud_word, written_word
    .text
    .type quiet, @function
quiet: push %rdi
    mov $1, %edi
    pop %rdi
    ret
    .size quiet, . - quiet
    .type loud, @function
loud: xor %edi, %edi
    ret
    .size loud, . - loud
    .section .rodata
quiet_word: .quad quiet
loud_word: .quad loud
    .data
written_word: .quad quiet
    .section .text.site
    """


@pytest.mark.parametrize("code", ["test %edi, %edi; jz 1f; xor %eax, %eax; 1:", "jmp 1f; ud2; 1: nop"])
def test_code_that_is_copied_may_jump_forward_in_itself(drafted: Drafted, code: str) -> None:
    checked(draft(drafted, code, '["rax", "flags"]', ROOM))


@pytest.mark.parametrize(
    ("code", "found"), [("jz .+3; nop; nop", ""), ("1: jz 1b; nop", "je 0x"), ("nop; jmp .+4", "jmp 0x")]
)
def test_a_jump_is_taken_up_to_the_end_and_never_back(drafted: Drafted, code: str, found: str) -> None:
    made = draft(drafted, code, '["flags"]', ROOM)
    if found:
        refused(made, f"expected position-independent code, found '{found}")
    else:
        checked(made)


def test_what_only_one_branch_writes_is_refused(drafted: Drafted) -> None:
    refused(draft(drafted, "jz 1f; xor %ecx, %ecx; 1:", '["flags"]', ROOM), "'xor ecx, ecx' writes rcx; expected only")


def test_a_branch_that_leaves_a_value_on_the_stack_is_refused(drafted: Drafted) -> None:
    refused(draft(drafted, "jz 1f; push %rax; 1: pop %rax", '["rax"]', ROOM), "an unbalanced stack")


def test_code_that_is_copied_may_call_by_a_word_that_nothing_changes(drafted: Drafted) -> None:
    checked(draft(drafted, TAKE.format("quiet_word"), '["flags"]', WORDS + ROOM))
    refused(draft(drafted, TAKE.format("loud_word"), '["flags"]', WORDS + ROOM), "writes rdi; expected only flags")
    refused(draft(drafted, TAKE.format("written_word"), '["flags"]', WORDS + ROOM), "expected only flags")


@pytest.mark.parametrize("call", ["quiet_word(%rip)", "(%rdi)", "quiet_word(,%rdi,8)"])
def test_a_call_by_a_word_of_another_place_is_refused_where_it_would_be_copied(drafted: Drafted, call: str) -> None:
    refused(draft(drafted, TAKE.format(call), None, WORDS + ROOM), "expected position-independent code, found 'call ")


def test_code_relative_to_its_place_is_refused_where_it_would_be_copied(drafted: Drafted) -> None:
    code = "incl value(%rip)"  # 6 bytes: a call through a slot has room for them
    ops = 'slot = "pv_ops"'
    refused(
        draft(drafted, code, None, "call *pv_ops(%rip)", ops), "position-independent code, found 'inc dword ptr [rip"
    )


def test_code_relative_to_its_place_is_taken_where_it_is_only_called(drafted: Drafted) -> None:
    checked(draft(drafted, "incl value(%rip)", None, "call pv_x"))
    checked(draft(drafted, "lea value(%rip), %rax", None, "lea pv_x(%rip), %rcx"))


def test_code_that_no_site_has_room_for_is_still_checked(drafted: Drafted) -> None:
    refused(draft(drafted, "movabs $1, %rbx", None), "writes rbx")


def test_bytes_that_are_no_instruction_are_refused(drafted: Drafted) -> None:
    refused(draft(drafted, "nop; .byte 0x06", "[]"), "expected instructions, found 06")


def test_every_backend_and_op_is_checked(drafted: Drafted) -> None:
    made = drafted(
        KERNEL.format(site="call pv_x"),
        """
        [ops.x]
        function = "pv_x"
        [ops.y]
        slot = "pv_ops"
        clobbers = []
        [backends.good]
        x = { inline = "cli" }
        y = { nothing = true }
        [backends.bad]
        x = { function = "target" }
        y = { inline = "mov %rdi, %rax" }
        """,
    )
    with pytest.raises(BuildplugError, match=r"backend bad, op y: 'mov rax, rdi' writes rax; expected only nothing"):
        checked(made)


def test_code_that_the_image_lacks_is_an_error(drafted: Drafted) -> None:
    made = draft(drafted, "cli", "[]")
    table, _ = table_of(made.image, made.rule, made.ops)
    declared = type(made.ops)(made.ops.ops, {"other": made.ops.backends["some"]})
    with pytest.raises(BuildplugError, match="backend other, op x: expected the code bp_paravirt_other__x, found none"):
        check(made.image, made.rule, declared, table)


FUNCTIONS = """
    .text
    .globl pv_x, pv_y, good, bad, deep, lost
    .type pv_x, @function
pv_x: mov %rdi, %rax
    ret
    .size pv_x, . - pv_x
    .type good, @function
good: push %rbx
    mov %rdi, %rbx
    mov %rbx, %rax
    pop %rbx
    ret
    .size good, . - good
    .type bad, @function
bad: mov %rdi, %rcx
    ret
    .size bad, . - bad
    .type deep, @function
deep: call bad
    ret
    .size deep, . - deep
    .type lost, @function
lost: jmp *%rax
    .size lost, . - lost
    .section .text.site, "ax"
    call pv_x
"""


def given(drafted: Drafted, way: str, clobbers: str | None = '["rax"]') -> Draft:
    declared = "" if clobbers is None else f"clobbers = {clobbers}\n"
    return drafted(FUNCTIONS, f'[ops.x]\nfunction = "pv_x"\n{declared}[backends.some]\nx = {way}\n')


def test_a_function_that_keeps_what_it_must_is_taken(drafted: Drafted) -> None:
    checked(given(drafted, '{ function = "good" }'))


@pytest.mark.parametrize(
    ("function", "clobbers", "expected"),
    [
        ("bad", '["rax"]', "'mov rcx, rdi' writes rcx; expected only rax"),
        ("deep", '["rax"]', "' writes rcx; expected only rax"),
        ("lost", '["rax"]', "found code that cannot be followed: 'jmp rax' has an unknown target"),
    ],
)
def test_a_function_that_writes_more_is_refused(drafted: Drafted, function: str, clobbers: str, expected: str) -> None:
    refused(given(drafted, f'{{ function = "{function}" }}', clobbers), expected)


def test_a_default_that_writes_more_is_refused(drafted: Drafted) -> None:
    with pytest.raises(BuildplugError, match=r"^op x, default: 'mov rax, rdi' writes rax; expected only nothing"):
        checked(given(drafted, '{ function = "good" }', "[]"))


@pytest.mark.parametrize("function", ["good", "bad", "deep"])
def test_a_function_that_is_called_with_all_saved_is_taken(drafted: Drafted, function: str) -> None:
    checked(given(drafted, f'{{ function = "{function}", preserve = true }}'))


@pytest.mark.parametrize("function", ["good", "bad", "lost"])
def test_without_clobbers_a_function_keeps_the_calling_convention(drafted: Drafted, function: str) -> None:
    checked(given(drafted, f'{{ function = "{function}" }}', None))


def test_without_clobbers_a_function_that_breaks_the_calling_convention_is_refused(drafted: Drafted) -> None:
    made = drafted(
        FUNCTIONS.replace("pop %rbx", "add $8, %rsp"),
        '[ops.x]\nfunction = "pv_x"\n[backends.some]\nx = { function = "good" }',
    )
    refused(made, "'mov rbx, rdi' writes rbx; expected only flags")
