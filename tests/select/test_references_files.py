"""References in files of other kinds, or of a writer that is not a linker."""

import dataclasses

import pytest

from buildplug.base.errors import BuildplugError
from buildplug.image.elf import Image
from buildplug.select.references import extract
from tests import elfwriter
from tests.conftest import LOW, Link, Written
from tests.elfwriter import ALLOC, EXEC, FUNC, File, Relocation, Section, Symbol
from tests.select.kernel import KERNEL, found, rule


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
