"""Images of machines that nothing but symbols is known of."""

import dataclasses
from pathlib import Path

import pytest

from buildplug.base.errors import BuildplugError
from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.select import references, relocations
from buildplug.select.rows import columns_of
from tests.conftest import Written
from tests.elfwriter import FUNC, LOCAL, NOTYPE, Symbol
from tests.image.small import SMALL


@pytest.mark.parametrize(
    ("bits", "order", "machine", "found"),
    [(32, "<", 62, "32-bit little-endian e_machine 62"), (64, ">", 62, "64-bit big-endian e_machine 62"),
     (32, ">", 4, "32-bit big-endian e_machine 4"), (32, "<", 243, "riscv32"),
     (64, ">", 183, "aarch64_be"), (64, ">", 21, "ppc64"), (64, "<", 21, "ppc64le")],
)  # fmt: skip
def test_image_of_any_class_order_and_machine_is_read_for_its_symbols_alone(
    written: Written, bits: int, order: str, machine: int, found: str
) -> None:
    image = Image(written(dataclasses.replace(SMALL, bits=bits, order=order, machine=machine, relocations={})))
    assert image.arch.name == found
    assert image.names == ["", ".text", "function", "object", "absolute"]
    assert columns_of(image, find("functions", Path()))[0]["name"].tolist() == ["function"]
    expected = f"expected a rule of symbols, all that {found} has, found one of "
    for rule, extract in ("calls", references.extract), ("relocs", relocations.fields), ("exports", columns_of):
        with pytest.raises(BuildplugError, match=f"rule {rule}: {expected}"):
            extract(image, find(rule, Path()))


@pytest.mark.parametrize(
    ("machine", "marks", "others"),
    [(40, ["$a", "$t.1", "$d"], ["$x", "$alpha", "a$"]), (183, ["$x", "$d.2"], ["$a", "$xy"]),
     (243, ["$x", "$xrv64i2p1", "$d", ".L0 "], ["__global_pointer$", "$data"]), (22, [], ["$x", "$d"])],
)  # fmt: skip
def test_mapping_symbols_are_no_rows(
    written: Written, tmp_path: Path, machine: int, marks: list[str], others: list[str]
) -> None:
    symbols = [Symbol(name, 0x1000, type=NOTYPE, bind=LOCAL) for name in (*marks, *others)]
    symbols += [Symbol("$d", 0x1004, 4, FUNC)]  # a function may have any name
    (tmp_path / "all.toml").write_text(
        'name = "all"\nabout = "all"\n[select]\nrows = "symbols"\nfunctions = ["*"]\nobjects = ["*"]\nuntyped = true\n'
        '[table]\nsort = ["name"]\nfields = [{ name = "name", type = "string", value = "name" }]\n'
    )
    bits = 32 if machine == 40 else 64
    image = Image(written(dataclasses.replace(SMALL, symbols=symbols, bits=bits, machine=machine, relocations={})))
    assert columns_of(image, find("all.toml", tmp_path))[0]["name"].tolist() == sorted([*others, "$d"])


def test_bit_0_of_a_thumb_function_is_not_of_its_address(written: Written) -> None:
    symbols = [Symbol("thumb", 0x1011, 8, FUNC), Symbol("arm", 0x1020, 8, FUNC), Symbol("label", 0x1031)]
    image = Image(written(dataclasses.replace(SMALL, symbols=symbols, bits=32, machine=40, relocations={})))
    assert image.symbols["value"].tolist() == [0, 0x1010, 0x1020, 0x1031]
    assert image.address_of("thumb") == 0x1010
    assert columns_of(image, find("functions", Path()))[0]["entry"].tolist() == [0x1011, 0x1020]
