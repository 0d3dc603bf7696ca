"""The number of calls, of Python functions and of functions in C, that passes over a kernel make: numpy handles all its
symbols and references at once, so it depends on the code only."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from buildplug.arch.x86 import X86_64
from buildplug.config import ops
from buildplug.config.rule import Rule, find, find_shipped
from buildplug.config.select import References
from buildplug.image.elf import Image
from buildplug.runtime.fixup import fixup
from buildplug.runtime.memory import memory_of
from buildplug.select.references import extract
from buildplug.stage import render
from buildplug.stage.proof import TableProof, rewrite, table_bytes, verify
from buildplug.tables.fields import HEAD, Rows
from buildplug.tables.kallsyms import FORMS
from buildplug.tables.registry import format_of
from buildplug.tables.saved import load, save
from tests.stage import many

T = TypeVar("T")

LEFT = ("relative-pointer", "interior", "other", "pointer")
EVERY = References(functions=("f*",), kinds=("call", "jump", "address"), leave=LEFT)  # very many targets


def counted(do: Callable[[], T]) -> tuple[int, T]:
    """The number of calls in `do`, and what it returns."""
    calls = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        found = do()
    finally:
        sys.setprofile(None)
    return calls, found


def rules(folder: Path) -> list[Rule]:
    shipped = {rule.symbol: rule for rule in find_shipped()}  # two of one table are never in one kernel
    return [*shipped.values(), replace(find("calls", folder), name="every", select=EVERY)]


def measured(folder: Path, functions: int) -> dict[str, int]:
    """The number of calls in each pass over a kernel, by table and pass. The tables are true."""
    folder.mkdir()
    wanted = rules(folder)
    draft = many.linked(folder, functions, wanted, vague=40)
    final = folder / "final.elf"
    shutil.copy(draft, final)
    (folder / "ops.toml").write_text(many.OPS)
    declared = {"paravirt": ops.read(folder / "ops.toml", X86_64)}
    calls: dict[str, int] = {}

    def count(what: str, do: Callable[[], T]) -> T:
        calls[what], found = counted(do)
        return found

    for rule in sorted(wanted, key=lambda rule: not rule.table.fields):
        image = Image(draft)
        format = format_of(rule)
        contents, _ = count(f"{rule.name}: make", partial(format.make, image, rule, declared.get(rule.name)))
        assert len(contents) > functions / 50, rule.name
        data = count(f"{rule.name}: encode", contents.encode)
        count(f"{rule.name}: save", partial(save, contents, folder / "saved"))
        assert count(f"{rule.name}: load", partial(load, folder / "saved", rule, X86_64)).encode() == data
        if contents.blob is not None:
            count(f"{rule.name}: render", partial(render.table, rule, contents, 0, folder, "blob"))
        count(f"{rule.name}: rewrite", partial(rewrite, final, image, TableProof(rule, contents, ())))
        if isinstance(contents, Rows):
            end = contents.at + HEAD * rule.table.head + contents.dtype.itemsize * len(contents)
            place = image.value_at(int(image.called(f"{rule.symbol}_end")[0]))
            for path in (draft, final):
                with path.open("r+b") as file:
                    file.seek(place)
                    file.write(end.to_bytes(8, "little"))
    made = Image(final)
    pairs = [(rule, declared.get(rule.name)) for rule in wanted]
    proof = count("all: verify", lambda: verify(Image(draft), made, pairs))
    assert [table.rule.name for table in proof.tables if table.differences] == []
    for rule in wanted:
        at, data = table_bytes(made, rule)
        previous = count(f"{rule.name}: restore", partial(format_of(rule).previous, made, rule, data, at))
        assert previous is not None or rule.format in ("sites", *FORMS), rule.name

    (memory, start, end), at = memory_of(made), made.address_of("bp_paravirt") or 0
    backend = made.address_of("bp_paravirt_native") or 0
    for what, origin, target, dry in (
        ("dry", 0, backend, True),
        ("wet", 0, backend, False),
        ("back", backend, 0, False),
    ):
        do = partial(fixup, X86_64, memory, at, target, start, end, origin=origin, dry=dry)
        assert count(f"fixup: {what}", do).error == "ok"
    return calls


def test_calls_do_not_depend_on_the_number_of_symbols(tmp_path: Path) -> None:
    measured(tmp_path / "first", 500)  # imports what is imported when it is needed
    few, very_many = measured(tmp_path / "few", 1000), measured(tmp_path / "many", 100_000)
    assert {what: (few[what], n) for what, n in very_many.items() if n > few[what] * 1.2 + 2000} == {}


def test_text_takes_a_few_calls_a_row(tmp_path: Path) -> None:
    image = Image(many.linked(tmp_path, 1000, rules(tmp_path), vague=0))
    for rule in rules(tmp_path):
        contents, _ = format_of(rule).make(image, rule, None)
        render.table(rule, contents, 0, tmp_path, "blob")  # compiles the template
        calls, text = counted(partial(render.table, rule, contents, 0, tmp_path, "blob"))
        assert calls < 3000 + 50 * len(contents), rule.name  # each row is a line with names, made by a template
        assert contents.blob is not None or len(text.splitlines()) > len(contents)


def test_a_reference_takes_a_few_calls_if_it_must_be_decoded(tmp_path: Path) -> None:
    every = rules(tmp_path)[-1]
    few, some = (tmp_path / "few", tmp_path / "some")
    for folder in (few, some):
        folder.mkdir()
    images = [many.linked(folder, 1000, [every], vague) for folder, vague in ((few, 40), (some, 840))]
    calls = [counted(partial(extract, Image(path), every))[0] for path in (images[0], *images)]
    # Each of these functions has four; the decoder makes Python objects of its instructions.
    assert calls[2] < calls[1] + 800 * 4 * 50
