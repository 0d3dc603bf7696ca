"""One link with the previous tables, filled, gives the bytes of draft and relink: of every format, by every linker."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from buildplug.arch.model import Arch
from buildplug.arch.registry import ARCHES
from buildplug.arch.x86 import X86_64
from buildplug.base.process import run
from buildplug.config.ops import Op, Ops
from buildplug.config.project import WantedTable
from buildplug.config.rule import Rule, find
from buildplug.image.elf import Image
from buildplug.linker.script import Placed, Placement
from buildplug.stage.linker import TableFiles
from buildplug.stage.notes import Done, Linked
from buildplug.stage.passes import FITS, Stage
from buildplug.tables import registry
from buildplug.tables.binary import address_of
from buildplug.tables.format import SPARE, Contents, Format, rounded
from buildplug.tables.kallsyms import FORMS
from tests.conftest import CC, HIGH, LD, LOW, SCRIPT, tool

RULES = {
    "sites": 'functions = ["pv_*"]\n',
    "rows": 'rows = "symbols"\nfunctions = ["*"]\n',
    "ksyms": 'rows = "symbols"\nfunctions = ["*"]\nobjects = ["*"]\n',
    "relocs": 'rows = "relocations"\n',
    "absolute": 'rows = "symbols"\nfunctions = ["pv_*"]\n',
    "toy": 'rows = "symbols"\nfunctions = ["*"]\n',
}
TABLES = {
    "rows": """fields = [
        { name = "at", type = "i4", value = "address" }, { name = "n", type = "string", value = "name" },
    ]
    """,
    "absolute": 'flags = "aw"\nfields = [{ name = "at", type = "%s", value = "address", base = "zero" }]\n',
}
OPS = {"sites": Ops({"one": Op("pv_one"), "two": Op("pv_two")}, {})}
SOURCE = """
    .globl pv_one, pv_two, start
    .type pv_one, @function
pv_one: ret
    .size pv_one, . - pv_one
    .type start, @function
start: .skip {0}, 0x90
    call pv_one
    call pv_two
    ret
    .size start, . - start
    .section .text.two, "ax"
    .type pv_two, @function
pv_two: .skip {0}, 0x90
    ret
    .size pv_two, . - pv_two
    .data
    .type word, @object
word: .skip {0} * 8
    {1} pv_two, kallsyms_offsets
    .size word, . - word
{2}
    .weak kallsyms_offsets
    .section .note.GNU-stack, "", @progbits
"""


@dataclass
class Project:
    """Links a kernel of one source, with its tables."""

    folder: Path
    arch: Arch
    rules: tuple[Rule, ...]
    linker: str = "ld"
    flags: tuple[str, ...] = ("--build-id=sha1",)
    links: list[list[str]] = field(default_factory=list)

    @property
    def scripts(self) -> bool:
        placed = any(flag.startswith(("-pie", "-Ttext-segment")) for flag in self.flags)
        return "mold" not in self.linker and not placed

    def source(self, padding: int, more: str = "") -> None:
        """Compiles the source; `padding` moves most of it."""
        word = {4: ".long", 8: ".quad"}[self.arch.word]
        (self.folder / "kernel.S").write_text(SOURCE.format(padding, word, more))
        (self.folder / "kernel.lds").write_text(SCRIPT % LOW)
        tool("gcc", *CC[self.arch.name], "-c", "kernel.S", cwd=self.folder)

    def assemble(self, texts: Sequence[tuple[Path, Path]]) -> list[list[str]]:
        commands = [["gcc", *CC[self.arch.name], "-c", str(text), "-o", str(output)] for text, output in texts]
        for command, (text, _) in zip(commands, texts, strict=True):
            tool(*command, cwd=text.parent)
        return commands

    def link(self, tables: TableFiles, output: Path) -> Linked:
        script = ["-T", str(tables.placement), "-T", "kernel.lds"] if self.scripts else []
        wanted = [f"--undefined={rule.symbol}" for rule in self.rules]
        words = [self.linker, *LD[self.arch.name], "-e", "start", "--emit-relocs", *self.flags, *wanted, *script]
        self.links.append([*words, "kernel.o", *map(str, tables.inputs)])
        run([*self.links[-1], "-o", output], self.folder, "link")
        return Linked()

    def run(self, image: Path, last: Path | None = None) -> Done:
        """All passes, in a folder of their own."""
        shutil.rmtree(self.folder / "gen", ignore_errors=True)
        places = Placement(tuple(Placed(rule, ".rodata", "") for rule in self.rules) if self.scripts else ())
        stage = Stage(
            tuple(WantedTable(rule, OPS.get(rule.name), 0, "", "", ()) for rule in self.rules), self.arch, self.folder,
            lambda: places, self.folder / "gen", lambda text: text.with_name(f"{text.name}.o"), self, self.scripts,
        )  # fmt: skip
        return stage.run(self.folder / "draft", self.folder / "relinked", image, last)

    def again(self, last: Path) -> tuple[Done, bool]:
        """Links after a change; and whether a link from nothing gives the same bytes."""
        done = self.run(self.folder / "again", last)
        anew = self.run(self.folder / "anew")
        assert anew.links == 2
        return done, (self.folder / "again").read_bytes() == (self.folder / "anew").read_bytes() != last.read_bytes()


def rule_of(folder: Path, name: str, arch: Arch = X86_64) -> Rule:
    if name in FORMS:
        return find(f"linux-{name}", folder)
    table = TABLES.get(name, f'format = "{name}"\n').replace("%s", f"u{arch.word}")
    text = f'name = "{name}"\nabout = ""\n[select]\n{RULES[name]}[table]\n{table}'
    (folder / f"{name}.toml").write_text(text)
    return find(f"{name}.toml", folder)


CASES = [
    (name, arch, linker)
    for name in ("sites", "rows", "ksyms", "relocs", "absolute", *FORMS)
    for arch in ("x86_64", "i386")
    for linker in ("ld", "ld.lld", "mold")
    if name not in FORMS or arch != "i386"  # those formats are of 64 bits
]


@pytest.mark.parametrize(("name", "arch", "linker"), CASES)
def test_one_link_gives_the_bytes_of_two(tmp_path: Path, name: str, arch: str, linker: str) -> None:
    project = Project(tmp_path, ARCHES[arch], (rule_of(tmp_path, name, ARCHES[arch]),), linker)
    project.source(30)
    assert project.run(tmp_path / "last").links == 2
    project.source(70)
    done, same = project.again(tmp_path / "last")
    assert (done.links, done.why) == (1, FITS)
    assert len(project.links) == 2 + 1 + 2
    assert same


@pytest.mark.parametrize(
    ("linker", "flags"),
    [
        *((linker, ("-pie", "--no-dynamic-linker")) for linker in ("ld", "ld.lld", "mold")),
        ("ld", ("-shared", "-Bsymbolic", f"-Ttext-segment={HIGH:#x}")),  # as Linux for arm64
    ],
    ids=["ld", "ld.lld", "mold", "ld, high"],
)
@pytest.mark.parametrize("name", ["rows", "absolute"])
def test_what_the_loader_fills_is_as_the_linker_leaves_it(
    tmp_path: Path, name: str, linker: str, flags: tuple[str, ...]
) -> None:
    project = Project(tmp_path, X86_64, (rule_of(tmp_path, name),), linker, flags)
    project.source(30)
    project.run(tmp_path / "last")
    project.source(70)
    done, same = project.again(tmp_path / "last")
    assert (done.links, done.why) == (1, FITS)
    assert same


@pytest.mark.parametrize("name", ["rows", "ksyms", "relocs"])
def test_table_that_outgrows_its_room_takes_a_relink_and_says_so(tmp_path: Path, name: str) -> None:
    project = Project(tmp_path, X86_64, (rule_of(tmp_path, name),))
    project.source(30)
    project.run(tmp_path / "last")
    grown = "".join(f".text\n.type f{n}, @function\nf{n}: ret\n.size f{n}, 1\n.data\n.quad f{n}\n" for n in range(99))
    project.source(30, grown)
    done, same = project.again(tmp_path / "last")
    assert done.links == 2
    assert done.why.startswith(f"rule {name}: its table takes ")
    assert same


def test_room_depends_on_the_size_alone_and_leaves_some() -> None:
    assert [rounded(size) for size in (0, 1, 64, 65, 1000, 1025)] == [0, 64, 128, 128, 1088, 1152]
    for size in range(1, 1 << 16, 77):
        assert size + SPARE <= rounded(size) <= size + SPARE + max(64, size // 8)


def test_several_tables_are_filled_at_once(tmp_path: Path) -> None:
    project = Project(tmp_path, X86_64, tuple(rule_of(tmp_path, n) for n in ("sites", "ksyms", "rows", "relocs")))
    project.source(30)
    project.run(tmp_path / "last")
    project.source(70)
    done, same = project.again(tmp_path / "last")
    assert (done.links, done.why) == (1, FITS)
    assert same


@pytest.mark.parametrize("content", [b"", b"\x7fELF", None])
def test_image_of_before_may_be_anything(tmp_path: Path, content: bytes | None) -> None:
    project = Project(tmp_path, X86_64, (rule_of(tmp_path, "rows"),))
    project.source(30)
    project.run(tmp_path / "image")
    whole = (tmp_path / "image").read_bytes()
    (tmp_path / "last").write_bytes(whole[: len(whole) // 2] if content is None else content)
    done = project.run(tmp_path / "image", tmp_path / "last")
    assert (done.links, done.why) == (2, "rule rows: the previous image has no table that could be linked again")


def test_link_that_fails_with_the_previous_tables_is_done_with_empty_ones(tmp_path: Path) -> None:
    project = Project(tmp_path, X86_64, (rule_of(tmp_path, "rows"),))
    project.source(30, '.section .more, "ax"\n.type more, @function\nmore: ret\n.size more, 1\n')
    (tmp_path / "kernel.lds").write_text((SCRIPT % LOW).replace(".data :", ".more : { *(.more) }\n.data :"))
    project.run(tmp_path / "last")
    project.source(30)
    done = project.run(tmp_path / "again", tmp_path / "last")
    assert (done.links, done.why) == (2, "the link with tables of the expected sizes failed")


@dataclass(frozen=True)
class Toy:
    """The number of functions, and the address of each as an offset from the table."""

    arch: Arch
    offsets: tuple[int, ...]
    section_names = ()
    op_names = ()
    blob = None
    bases_at = None
    parts = ()

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def room(self) -> int:
        return rounded(4 + 4 * len(self))

    def encode(self) -> bytes:
        return np.array([len(self), *self.offsets], "<i4").tobytes()

    def describe(self, at: int) -> str:
        return f"function {at // 4}"

    def context(self) -> dict[str, object]:
        return {"words": [len(self), *self.offsets]}


class ToyFormat(Format):
    name = "toy"
    contents = Toy

    def make(self, image: Image, rule: Rule, ops: Ops | None) -> tuple[Contents, dict[str, int]]:
        at = address_of(image, rule)
        found = [int(image.symbols["value"][i]) - at for i in np.flatnonzero(image.symbols["type"] == 2)]
        return Toy(image.arch, tuple(sorted(found))), {}

    def empty(self, rule: Rule, arch: Arch) -> Toy:
        return Toy(arch, ())

    def previous(self, image: Image, rule: Rule, data: bytes, at: int) -> Toy:
        count, *offsets = np.frombuffer(data, "<i4").tolist()
        return Toy(image.arch, tuple(offsets[:count]))


TEMPLATE = """
    .section {{ rule.section }}, "a", @progbits
    .globl {{ rule.symbol }}
    .type {{ rule.symbol }}, @object
{{ rule.symbol }}: .long {{ words | join(", ") }}
    .skip {{ slack }}
    .size {{ rule.symbol }}, . - {{ rule.symbol }}
    .section .note.GNU-stack, "", @progbits
"""


def test_new_format_is_a_class_and_a_line_in_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.FORMATS, "toy", registry.Known(ToyFormat, "toy.S.j2"))
    (tmp_path / "toy.S.j2").write_text(TEMPLATE)
    project = Project(tmp_path, X86_64, (rule_of(tmp_path, "toy"),))
    project.source(30)
    done = project.run(tmp_path / "last")
    assert (done.links, done.verified.tables["toy"].rows) == (2, 3)
    project.source(70, ".type last, @function\n.text\nlast: ret\n")
    done, same = project.again(tmp_path / "last")
    assert (done.links, done.verified.tables["toy"].rows) == (1, 4)
    assert same


@pytest.mark.parametrize("form", [name for name, form in FORMS.items() if "relative_base" in form.parts])
@pytest.mark.parametrize("stripped", [False, True])
def test_kallsyms_whose_base_the_loader_fills_in_fit_again(tmp_path: Path, form: str, stripped: bool) -> None:
    """Also where the loader's relocations are gone from the previous image, as from Linux for riscv."""
    project = Project(tmp_path, X86_64, (rule_of(tmp_path, form),), "ld", ("-shared", "-Bsymbolic"))
    project.source(30)
    project.run(tmp_path / "last")
    if stripped:
        tool("objcopy", "--remove-section=.rela.*", tmp_path / "last")
        image, content = Image(tmp_path / "last"), bytearray((tmp_path / "last").read_bytes())
        table, base = image.section(".bp_kallsyms"), image.address_of("kallsyms_relative_base") or 0
        at = table.offset + base - table.address
        content[at : at + 8] = bytes(8)  # as linkers leave it there; that of x86 writes the address, too
        (tmp_path / "last").write_bytes(content)
    project.source(70)
    done, same = project.again(tmp_path / "last")
    assert (done.links, done.why) == (1, FITS)
    assert same
