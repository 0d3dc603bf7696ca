"""What an ops file has for one architecture only."""

from pathlib import Path

import pytest

from buildplug.arch.model import Arch
from buildplug.arch.x86 import I386, X86_64
from buildplug.base.errors import BuildplugError
from buildplug.config.ops import Implementation
from tests.ops_file import GOOD, parsed

XEN = """
[arch.x86_64.ops.three]
function = "pv_three"
[arch.x86_64.backends.xen]
one = { inline = "mov {r11}, {ax}" }
[arch.x86_64.backends.other]
three = { nothing = true }
"""


def test_it_is_merged_into_the_rest(tmp_path: Path) -> None:
    ops = parsed(tmp_path, GOOD + XEN)
    assert list(ops.ops) == ["one", "two", "three"]
    assert ops.backends["xen"] == {"one": Implementation(inline="mov r11, rax")}
    assert ops.backends["other"] == {"one": Implementation(nothing=True), "three": Implementation(nothing=True)}


def test_other_architectures_do_not_have_it(tmp_path: Path) -> None:
    assert parsed(tmp_path, GOOD + XEN, I386) == parsed(tmp_path, GOOD, I386)


@pytest.mark.parametrize("arch", [X86_64, I386])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[arch.x86_65.ops]", "unknown architecture 'x86_65'; did you mean 'x86_64'?"),
        ("[arch.x86_64.op]", "unknown key 'op'; did you mean 'ops'?"),
        ("[arch.x86_64.backends.xen]\none = { inlin = '' }", "unknown key 'inlin'; did you mean 'inline'?"),
    ],
)
def test_mistakes_are_found_whatever_the_architecture(tmp_path: Path, arch: Arch, text: str, expected: str) -> None:
    with pytest.raises(BuildplugError) as caught:
        parsed(tmp_path, GOOD + text, arch)
    assert expected in str(caught.value)


def test_an_op_that_is_declared_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BuildplugError, match=r"arch.x86_64.ops.one: expected another name; it is used above"):
        parsed(tmp_path, GOOD + '[arch.x86_64.ops.one]\nfunction = "pv_other"\n')


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("nothing = true, writes = []", "writes is for code, found nothing = true"),
        ("inline = 'cli', writes = 'ax'", "expected a list, found 'ax'"),
    ],
)
def test_what_is_said_of_code_needs_code(tmp_path: Path, way: str, expected: str) -> None:
    with pytest.raises(BuildplugError) as caught:
        parsed(tmp_path, GOOD + f"[backends.third]\none = {{ {way} }}\n")
    assert expected in str(caught.value)
