"""Ops files: what is read, and what is wrong with them."""

from pathlib import Path

import pytest

from buildplug.arch.model import Arch
from buildplug.arch.x86 import I386, X86_64
from buildplug.base.errors import BuildplugError
from buildplug.config.ops import OP_BITS, Implementation, Op
from tests.ops_file import GOOD, parsed


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
