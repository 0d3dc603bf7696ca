"""The passes without a build system: whoever can link and assemble gets tables."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from buildplug.arch.x86 import X86_64
from buildplug.base.errors import BuildplugError
from buildplug.config.project import WantedTable
from buildplug.config.rule import find
from buildplug.image import build_id
from buildplug.image.elf import Image
from buildplug.linker.script import Placed, Placement
from buildplug.stage.linker import TableFiles
from buildplug.stage.notes import Linked
from buildplug.stage.passes import Stage
from buildplug.tables.kallsyms import FORMS
from buildplug.tables.kallsyms_format import decode
from tests.conftest import LOW, SCRIPT, tool
from tests.tables.test_kallsyms_format import tables_in

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
    .weak bp_functions
    .quad bp_functions
    .section .note.GNU-stack, "", @progbits
"""


@pytest.fixture
def links(tmp_path: Path) -> list[list[str]]:
    """The words of each link that a stage() of the test does."""
    return []


def compile_kernel(folder: Path, more: str = "") -> None:
    (folder / "kernel.S").write_text(SOURCE + more)
    tool("gcc", "-c", "kernel.S", cwd=folder)


@pytest.fixture
def stage(tmp_path: Path, links: list[list[str]]) -> Stage:
    """A stage that links by the compiler driver, with a script."""
    return made(tmp_path, links, "functions")


def made(tmp_path: Path, links: list[list[str]], rule_name: str, identity: str = "none") -> Stage:
    compile_kernel(tmp_path)
    (tmp_path / "kernel.lds").write_text(SCRIPT % LOW)

    class Driver:
        """Links by the compiler driver, with a script."""

        def assemble(self, texts: Sequence[tuple[Path, Path]]) -> list[list[str]]:
            commands = [["gcc", "-c", str(text), "-o", str(output)] for text, output in texts]
            for command in commands:
                tool(*command, cwd=generated)
            return commands

        def link(self, tables: TableFiles, output: Path) -> Linked:
            scripts = ["-Wl,-T," + str(tables.placement), "-T", "kernel.lds"]
            options = f"-Wl,-e,start,--emit-relocs,--build-id={identity}"
            words = ["gcc", "-nostdlib", "-static", options, *scripts, "kernel.o"]
            links.append([*words, *map(str, tables.inputs)])
            tool(*links[-1], "-o", output, cwd=tmp_path)
            return Linked()

    rule, generated = find(rule_name, tmp_path), tmp_path / "gen"
    return Stage(
        (WantedTable(rule, None, 0, "", "", ()),), X86_64, tmp_path, lambda: Placement((Placed(rule, ".rodata", ""),)),
        generated, lambda text: text.with_suffix(".o"), Driver(), True,
    )  # fmt: skip


def test_stage_makes_an_image_with_a_true_table_by_two_links(
    stage: Stage, links: list[list[str]], tmp_path: Path
) -> None:
    draft, relinked, image = (tmp_path / name for name in ("draft", "relinked", "image"))
    verified = stage.run(draft, relinked, image).verified
    assert verified.tables["functions"].rows == 2
    assert verified.rewritten == ()
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
    stage.link_draft(draft, "the first")
    stage.extract(draft)
    stage.generate()
    stage.assemble_all(stage.texts)
    stage.relink(draft, relinked)
    stage.verify(draft, relinked, image, filled=False)
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


RULES = [f"linux-{name}" for name in FORMS]
KALLSYMS = """
    .text
    .globl {0}
    .type {0}, @function
{0}: .skip {1}, 0x90
    ret
    .size {0}, . - {0}
    .data
    .quad kallsyms_offsets, kallsyms_names, kallsyms_token_table
"""


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("identity", ["none", "sha1", "md5"])
def test_change_that_keeps_the_tables_size_takes_one_link_for_the_same_bytes(
    links: list[list[str]], tmp_path: Path, rule: str, identity: str
) -> None:
    stage = made(tmp_path, links, rule, identity)
    draft, relinked, last, again, anew = (tmp_path / name for name in ("draft", "relinked", "last", "again", "anew"))
    compile_kernel(tmp_path, KALLSYMS.format("first", 100))
    assert stage.run(draft, relinked, last).links == 2
    compile_kernel(tmp_path, KALLSYMS.format("other_longer", 300))
    assert stage.run(draft, relinked, again, last).links == 1
    assert stage.run(draft, relinked, anew).links == 2
    assert len(links) == 5
    assert again.read_bytes() == anew.read_bytes() != last.read_bytes()


@pytest.mark.parametrize("rule", RULES)
def test_link_with_the_tables_of_before_is_the_draft_if_they_do_not_fit(
    links: list[list[str]], tmp_path: Path, rule: str
) -> None:
    stage = made(tmp_path, links, rule, "sha1")
    draft, relinked, last, again, anew = (tmp_path / name for name in ("draft", "relinked", "last", "again", "anew"))
    compile_kernel(tmp_path, KALLSYMS.format("first", 100))
    stage.run(draft, relinked, last)
    compile_kernel(tmp_path, "".join(KALLSYMS.format(f"function_{n}", n) for n in range(300)))
    assert stage.run(draft, relinked, again, last).links == 2
    assert stage.run(draft, relinked, anew).links == 2
    assert again.read_bytes() == anew.read_bytes()


@pytest.mark.parametrize("form", ["kallsyms-6-12", "kallsyms-7-3"])
def test_tables_that_list_their_own_parts_have_those_of_the_final_image(
    links: list[list[str]], tmp_path: Path, form: str
) -> None:
    stage, image = made(tmp_path, links, f"linux-{form}"), tmp_path / "image"
    compile_kernel(tmp_path, "".join(KALLSYMS.format(f"function_{n}", n) for n in range(300)))
    stage.run(tmp_path / "draft", tmp_path / "relinked", image)
    found = decode(tables_in(Image(image)), "image")
    listed = [line.split() for line in tool("nm", "-n", "--defined-only", image).splitlines()]
    expected = [(int(address, 16), kind, name) for address, kind, name in listed if "__bp_" not in name]
    assert {f"kallsyms_{part}" for part in FORMS[form].parts} < {name for *_, name in expected}
    pairs = zip(found.addresses.tolist(), found.types.decode(), (name.decode() for name in found.names), strict=True)
    assert sorted(pairs) == sorted(expected)


def test_image_of_before_may_be_anything(links: list[list[str]], tmp_path: Path) -> None:
    stage = made(tmp_path, links, "linux-kallsyms")
    compile_kernel(tmp_path, KALLSYMS.format("first", 100))
    draft, relinked, image, last = (tmp_path / name for name in ("draft", "relinked", "image", "last"))
    stage.run(draft, relinked, image)
    whole = image.read_bytes()
    for content in (b"", b"\x7fELF", whole[: len(whole) // 2], (tmp_path / "kernel.o").read_bytes()):
        last.write_bytes(content)
        assert stage.run(draft, relinked, image, last).links == 2
        assert image.read_bytes() == whole


@pytest.mark.parametrize("linker", ["ld", "ld.lld", "ld.lld-19", "mold"])
@pytest.mark.parametrize("kind", ["sha1", "md5"])
def test_build_id_is_renewed_as_the_linker_would_have_made_it(tmp_path: Path, linker: str, kind: str) -> None:
    for name, value in (("one", 1), ("two", 2)):
        text = f".globl _start\n_start: ret\n.data\n.globl word\nword: .quad {value}\n.fill 700000, 8, 7\n"
        (tmp_path / f"{name}.S").write_text(text)
        tool("gcc", "-c", f"{name}.S", cwd=tmp_path)
        tool(linker, f"--build-id={kind}", f"{name}.o", "-o", name, cwd=tmp_path)
    one, two = (Image(tmp_path / name) for name in ("one", "two"))
    algorithm = build_id.algorithm_of(one)
    assert algorithm is not None
    data = one.section(".data")
    changed = bytearray(one.data)
    changed[data.offset] = 2
    (tmp_path / "changed").write_bytes(changed)
    build_id.renew(tmp_path / "changed", algorithm)
    assert (tmp_path / "changed").read_bytes() == two.data.tobytes()


@pytest.mark.parametrize(("linker", "kind"), [("ld", "0x1234"), ("ld.lld", "fast")])
def test_build_id_that_is_made_otherwise_is_left_alone(tmp_path: Path, linker: str, kind: str) -> None:
    (tmp_path / "one.S").write_text(".globl _start\n_start: ret\n")
    tool("gcc", "-c", "one.S", cwd=tmp_path)
    tool(linker, f"--build-id={kind}", "one.o", "-o", "one", cwd=tmp_path)
    assert not build_id.is_renewable(Image(tmp_path / "one"))
    assert build_id.algorithm_of(Image(tmp_path / "one")) is None
