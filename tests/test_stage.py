"""The passes without a build system: whoever can link and assemble gets tables."""

from pathlib import Path

import pytest

from buildplug.arch import X86_64
from buildplug.config import WantedTable
from buildplug.errors import BuildplugError
from buildplug.placement import Placed, Placement
from buildplug.rules import find
from buildplug.stage import Note, Stage
from tests.conftest import LOW, SCRIPT, tool

SOURCE = """
    .globl pv_one
    .type pv_one, @function
pv_one: ret
    .size pv_one, . - pv_one
    .globl start
    .type start, @function
start: call pv_one
    ret
    .size start, . - start
    .section .rodata
    .quad bp_functions
    .section .note.GNU-stack, "", @progbits
"""


@pytest.fixture
def links(tmp_path: Path) -> list[list[str]]:
    """The words of each link that a stage() of the test does."""
    return []


@pytest.fixture
def stage(tmp_path: Path, links: list[list[str]]) -> Stage:
    """A stage that links by the compiler driver, with a script."""
    (tmp_path / "kernel.S").write_text(SOURCE)
    (tmp_path / "kernel.lds").write_text(SCRIPT % LOW)
    tool("gcc", "-c", "kernel.S", cwd=tmp_path)

    def assemble(text: Path, output: Path) -> list[str]:
        command = ["gcc", "-c", str(text), "-o", str(output)]
        tool(*command)
        return command

    def link(tables: list[Path], output: Path) -> Note:
        scripts = ["-Wl,-T," + str(made.placement), "-T", "kernel.lds"]
        words = ["gcc", "-nostdlib", "-static", "-Wl,-e,start,--emit-relocs,--build-id=none", *scripts, "kernel.o"]
        links.append([*words, *map(str, tables)])
        tool(*links[-1], "-o", output, cwd=tmp_path)
        return {"links": 1}

    rule, generated = find("functions", tmp_path), tmp_path / "gen"
    made = Stage(
        (WantedTable(rule, None, 0, "", "", ()),), X86_64, tmp_path, lambda: Placement((Placed(rule, ".rodata", ""),)),
        generated, lambda text: text.with_suffix(".o"), assemble, link, True,
    )  # fmt: skip
    return made


def test_stage_makes_an_image_with_a_true_table_by_two_links(
    stage: Stage, links: list[list[str]], tmp_path: Path
) -> None:
    draft, relinked, image = (tmp_path / name for name in ("draft", "relinked", "image"))
    note = stage.run(draft, relinked, image)
    assert note["tables"]["functions"]["rows"] == 2
    assert note["rewritten"] == []
    assert image.read_bytes() == relinked.read_bytes()
    assert image.stat().st_mode == relinked.stat().st_mode
    assert len(links) == 2
    assert [w for w in links[0] if "gen" not in w] == [w for w in links[1] if "gen" not in w]


def test_passes_one_by_one_are_those_of_run(stage: Stage, tmp_path: Path) -> None:
    draft, relinked, image = (tmp_path / name for name in ("draft", "relinked", "image"))
    stage.run(draft, relinked, image)
    at_once = image.read_bytes()
    image.unlink()
    stage.prepare()
    stage.assemble_all(stage.stubs)
    stage.link_draft(draft)
    stage.extract(draft)
    stage.generate()
    stage.assemble_all(stage.texts)
    stage.relink(relinked)
    stage.verify(draft, relinked, image)
    assert image.read_bytes() == at_once


@pytest.mark.parametrize(("segments", "count"), [(":odd", 0), (":one :two", 2)])
def test_table_must_be_loaded_and_once(stage: Stage, tmp_path: Path, segments: str, count: int) -> None:
    script = (
        (SCRIPT % LOW).replace(".text.*) }", ".text.*) } :one").replace(".rodata.*) }", f".rodata.*) }} {segments}")
    )
    script = script.replace(".data.*) }", ".data.*) } :two")
    (tmp_path / "kernel.lds").write_text("PHDRS { one PT_LOAD; two PT_LOAD; odd 0x60000001; }" + script)
    with pytest.raises(BuildplugError, match=f"in one PT_LOAD, found it in {count}"):
        stage.run(tmp_path / "draft", tmp_path / "relinked", tmp_path / "image")
    assert not (tmp_path / "image").exists()
