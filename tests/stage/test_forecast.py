"""What is expected of a link before it, compared with the link: names and letters of its symbols."""

from collections import Counter
from pathlib import Path

import pytest

from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.image.symbols import letters
from buildplug.linker import family
from buildplug.linker.script import Placement, outputs
from buildplug.stage.forecast import forecast
from tests.conftest import tool

CODE = """
    .globl _start, hidden, by_script, found
    .hidden hidden
_start: ret
hidden: ret
by_script: ret
    .data
found: .quad _start
"""
SCRIPT = """SECTIONS {
    .text : { *(.text) }
    .rela.dyn : { rela_start = .; *(.rela.*) rela_end = .; }
    .bp_ksyms : { *(.bp_ksyms) }
    .data : { by_script = .; *(.data) }
    .dynamic : { *(.dynamic) }
    /DISCARD/ : { *(.note*) }
}"""


@pytest.mark.parametrize("flags", [(), ("-shared", "-Bsymbolic")], ids=["static", "shared"])
@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_symbols_have_the_letters_of_the_link(ld: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "k.S").write_text(CODE)
    (tmp_path / "k.lds").write_text(SCRIPT)
    tool("gcc", "-c", "k.S", cwd=tmp_path)
    tool(ld, "-z", "notext", *flags, "-T", "k.lds", "k.o", "-o", "k", cwd=tmp_path)
    placement = Placement(outputs=tuple(outputs(SCRIPT)))
    rules = [find("ksyms", tmp_path)]
    expected = forecast([tmp_path / "k.o"], placement, rules, family.of(ld), shared=bool(flags))
    found, said = (
        Counter(zip(map(chr, letters(image).tolist()), image.name_table.texts(), strict=True))
        for image in (Image(tmp_path / "k"), expected)
    )
    wanted = {b"_start", b"hidden", b"by_script", b"found", b"rela_start", b"rela_end"}
    rows = [sorted(row for row in counted.elements() if row[1] in wanted) for counted in (found, said)]
    if not flags:  # then GNU ld has no .rela.dyn, whose symbols go elsewhere
        rows = [[row for row in part if not row[1].startswith(b"rela")] for part in rows]
    assert rows[0] == rows[1]
    assert (("t" if flags or ld == "ld.lld" else "T"), b"hidden") in rows[0]


ENDED = """SECTIONS {
    .text : { *(.text) }
    .padding : { BYTE(0) . = ALIGN(0x200); }
    padded = .;
    . = ALIGN(4096);
    start = .;
    .data : { *(.data) }
    . = ALIGN(64);
    stop = .;
    . = ALIGN(4096);
    NAME = .;
    .dropped : { *(.nothing) }
    .behind : { *(.behind) }
    last = .;
    /DISCARD/ : { *(.note* .bss) }
}"""


@pytest.mark.parametrize("name", ["_end", "end", "ended"])
@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_symbols_belong_to_the_sections_that_the_linker_finds_nearest(ld: str, name: str, tmp_path: Path) -> None:
    """Behind an assignment to the dot GNU ld takes the next one, unless that is behind the end of the image. Data that
    the script gives make a section, too."""
    script = ENDED.replace("NAME", name)
    (tmp_path / "k.S").write_text(f'{CODE}\n    .section .behind, "a"\n    .quad 1\n')
    (tmp_path / "k.lds").write_text(script)
    tool("gcc", "-c", "k.S", cwd=tmp_path)
    tool(ld, "-T", "k.lds", "k.o", "-o", "k", cwd=tmp_path)
    placement = Placement(outputs=tuple(outputs(script)))
    expected = forecast([tmp_path / "k.o"], placement, [find("ksyms", tmp_path)], family.of(ld))
    wanted = ("padded", "start", "stop", name, "last")
    found, said = (
        {key: chr(letter) for key, letter in zip(image.names, letters(image).tolist(), strict=True) if key in wanted}
        for image in (Image(tmp_path / "k"), expected)
    )
    assert found == said
    assert found["stop"] == ("D" if ld == "ld.lld" or name != "ended" else "R")


DROPPED = """SECTIONS {
    .text : { first = .; *(.text) }
    behind_text = .;
    .notes : { ended_text = .; }
    .rodata : { *(.rodata) }
    .rest : { ended_rodata = .; }
    .data : { *(.data) }
    size = behind_text - first;
    . = ALIGN(4);
    .lookup : { lookup = .; . += size + 4; lookup_end = .; }
    . = ALIGN(4096);
    .last : { ended_lookup = .; }
    .more : { *(.more) }
    /DISCARD/ : { *(.note* .bss) }
}"""


@pytest.mark.parametrize("more", ["a", "aw", "ax"])
@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_symbols_of_dropped_sections_and_of_room_alone_have_the_letters_of_the_link(
    ld: str, more: str, tmp_path: Path
) -> None:
    (tmp_path / "k.S").write_text(
        f'{CODE}\n    .section .rodata, "a"\n    .quad 1\n    .section .more, "{more}"\n    .quad 1\n'
    )
    (tmp_path / "k.lds").write_text(DROPPED)
    tool("gcc", "-c", "k.S", cwd=tmp_path)
    tool(ld, "-T", "k.lds", "k.o", "-o", "k", cwd=tmp_path)
    placement = Placement(outputs=tuple(outputs(DROPPED)))
    expected = forecast([tmp_path / "k.o"], placement, [find("ksyms", tmp_path)], family.of(ld))
    wanted = ("first", "behind_text", "ended_text", "ended_rodata", "size", "lookup", "lookup_end", "ended_lookup")
    found, said = (
        {key: chr(letter) for key, letter in zip(image.names, letters(image).tolist(), strict=True) if key in wanted}
        for image in (Image(tmp_path / "k"), expected)
    )
    assert len(found) == len(wanted)
    assert found == said
