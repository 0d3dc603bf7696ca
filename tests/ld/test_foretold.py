"""The first link is the only one where the room of the tables is known from the inputs; the image is that of two."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from buildplug.image.elf import Image
from buildplug.stage.forecast import MOST_OBJECTS
from tests.conftest import tool
from tests.samples import buildplug, logging_tool

FLAGS = ("-O1", "-ffreestanding", "-fno-pie", "-fcommon", "-fno-asynchronous-unwind-tables", "-ffunction-sections")
SOURCES = {
    "k.c": """
extern const char bp_ksyms[] __attribute__((visibility("hidden")));
extern char here[], provided[], alias[];
int shared[20];
const int numbers[] = {1, 2, 3};
static int counter;
__attribute__((weak)) int hook(void) { return 0; }
int twice(int x) { return 2 * x + counter++; }
int _start(void) { return twice(bp_ksyms[3]) + numbers[counter] + shared[2] + here[0] + provided[0] + alias[1]; }
""",
    "more.c": "int shared[20]; int hook(void) { return 3; } int more(int x) { return x * shared[1]; }",
    "library.c": 'int wanted_by_all(void) { return 5; } __attribute__((section(".note.x"))) int gone = 3;',
}
SCRIPTS = {
    "simple": """
	.text : { *(.text .text.*) } .rodata : { *(.rodata*) } .data : { *(.data*) } .bss : { *(.bss*) *(COMMON) }
""",
    "orphans": ".text : { *(.text) } .data : { *(.data*) }",
    "symbols": """
	first = .; constant = 0x1234;
	.head : { begin = .; *(.text.twice) middle = .; *(.text.hook) }
	.text : { *(.text .text.*) } . = ALIGN(4096); after_text = .;
	.rodata : { *(.rodata*) } PROVIDE(unwanted = .);
	.nothing : { nothing_start = .; *(.nothing) nothing_end = .; }
	.data : { *(.data*) } .bss : { *(.bss*) *(COMMON) } . = ALIGN(64); _end = .;
""",
}
ALL = "here = .; PROVIDE(provided = .); alias = numbers; /DISCARD/ : { *(.note* .comment .eh_frame*) }"
CONFIG = '[kernel]\nname = "k.elf"\n[toolchain]\nld = "{0}/ld"\n'
TABLES = {"ksyms": ["ksyms"], "both": ["ksyms", "functions"]}


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """A folder with the objects of a kernel and an archive of one; a linker that notes its runs in `log`."""
    for name, text in SOURCES.items():
        (tmp_path / name).write_text(text)
    tool("gcc", *FLAGS, "-c", *SOURCES, cwd=tmp_path)
    tool("ar", "rcs", "library.a", "library.o", cwd=tmp_path)
    tool("ar", "rcsT", "thin.a", "library.o", cwd=tmp_path)
    return tmp_path


def first_link(kernel: Path, *words: str, ld: str = "ld", rules: tuple[str, ...] = ("ksyms",)) -> str:
    """Links where nothing was linked before; what that says on stderr."""
    logging_tool(kernel / "ld", ld, kernel / "log")
    tables = "".join(f'[[table]]\nrule = "{rule}"\n' for rule in rules)
    (kernel / "buildplug.toml").write_text(CONFIG.format(kernel) + tables)
    for name in ("log", "k.elf"):
        (kernel / name).unlink(missing_ok=True)
    common = ("-z", "noexecstack", "-o", "k.elf", "k.o", "more.o")
    done = buildplug("ld", "--config", "buildplug.toml", *words, *common, cwd=kernel)
    assert done.returncode == 0, done.stderr
    return done.stderr


def made(kernel: Path, *words: str, ld: str = "ld", rules: tuple[str, ...] = ("ksyms",)) -> tuple[bytes, int]:
    """The image of a first link, and how often the linker ran for it."""
    first_link(kernel, *words, ld=ld, rules=rules)
    log = (kernel / "log").read_text().splitlines()
    return (kernel / "k.elf").read_bytes(), len([line for line in log if " -o " in line])


@pytest.mark.parametrize(
    ("script", "ld"),
    [("simple", "ld"), ("simple", "ld.lld"), ("orphans", "ld"), ("symbols", "ld"), ("symbols", "ld.lld")],
)
@pytest.mark.parametrize("tables", TABLES)
def test_one_link_makes_the_image_of_two(kernel: Path, script: str, tables: str, ld: str) -> None:
    (kernel / "k.lds").write_text(f"ENTRY(_start) SECTIONS {{ . = 0x100000; {SCRIPTS[script]} {ALL} }}")
    rules = tuple(TABLES[tables])
    words = ("-T", "k.lds", "--whole-archive", "library.a", "--no-whole-archive")
    image, links = made(kernel, *words, ld=ld, rules=rules)
    assert links == 1
    assert made(kernel, "--relink", *words, ld=ld, rules=rules) == (image, 2)


SLOTS = """
name = "slots"
about = "calls through slots, and a second row where one function is called"
[select]
slots = ["ops", "near"]
kinds = ["slot-call"]
leave = ["other", "pointer"]
[table]
section = ".slots"
symbol = "bp_slots"
template = "slots.S.j2"
flags = "a"
fields = [
    { name = "site", type = "i4", value = "site" },
    { name = "code", type = "i4", value = "code" },
    { name = "number", type = "u4", value = "number" },
]
[[table.each]]
numbers = { number = 1 }
addresses = { code = "slot_code" }
[[table.each]]
only = { held = ["local"] }
numbers = { number = 2 }
addresses = { code = "slot_code" }
"""
CALLS = """
	.globl calls, near
	.type near, @object; .size near, 8; .type local, @function; .size local, 1
	.section .text.calls, "ax"
calls: call *ops(%rip); call *ops + 8(%rip); call *near(%rip); call calls; ret
	.section .text.local, "ax"
local: ret
	.data
near: .quad local
"""


@pytest.mark.parametrize("script", ["simple", "symbols"])
@pytest.mark.parametrize("ld", ["ld", "ld.lld"])
def test_one_link_is_enough_for_calls_that_the_relocations_of_the_objects_say(
    kernel: Path, script: str, ld: str
) -> None:
    """Also where the slots are another object's, and where rows depend on what a slot holds."""
    (kernel / "k.lds").write_text(f"ENTRY(_start) SECTIONS {{ . = 0x100000; {SCRIPTS[script]} {ALL} }}")
    (kernel / "slots.toml").write_text(SLOTS)
    code = '\t.section .text, "ax"\n\t.globl slot_code\nslot_code: ret\n'
    (kernel / "slots.S.j2").write_text(f'{{% include "rows.S.j2" %}}\n{code}')
    (kernel / "calls.S").write_text(CALLS)
    (kernel / "ops.c").write_text("int twice(int); int more(int); int (*ops[2])(int) = {twice, more};")
    tool("gcc", *FLAGS, "-c", "calls.S", "ops.c", cwd=kernel)
    words, rules = ("-T", "k.lds", "--defsym=bp_ksyms=0", "calls.o", "ops.o"), ("functions", "slots.toml")
    image, links = made(kernel, *words, ld=ld, rules=rules)
    assert links == 1
    assert made(kernel, "--relink", *words, ld=ld, rules=rules) == (image, 2)
    (kernel / "image").write_bytes(image)
    found = Image(kernel / "image")
    assert np.frombuffer(found.bytes_of(found.section(".slots")), "<u4")[:2].tolist() == [4, 12]


def test_a_thin_archive_is_read(kernel: Path) -> None:
    (kernel / "k.lds").write_text(f"ENTRY(_start) SECTIONS {{ . = 0x100000; {SCRIPTS['simple']} {ALL} }}")
    image, links = made(kernel, "-T", "k.lds", "--whole-archive", "thin.a", "--no-whole-archive")
    assert links == 1
    assert b"wanted_by_all" in image


def test_of_an_archive_of_very_many_objects_the_one_that_is_linked_of_them_is_read(
    kernel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (kernel / "one.S").write_text(".data\none: .long 1\n")
    tool("gcc", "-c", "one.S", cwd=kernel)
    names = [f"{number}.o" for number in range(MOST_OBJECTS)]
    for name in names:
        (kernel / name).symlink_to("one.o")
    tool("ar", "rcsT", "many.a", *names, cwd=kernel)
    tool("ld", "-r", "-o", "merged.o", "--whole-archive", "many.a", cwd=kernel)
    (kernel / "k.lds").write_text(f"ENTRY(_start) SECTIONS {{ . = 0x100000; {SCRIPTS['simple']} {ALL} }}")
    objects = ("-T", "k.lds", "--whole-archive", "many.a", "--no-whole-archive")
    image, links = made(kernel, *objects)
    assert links == 2
    monkeypatch.setenv("BUILDPLUG_MERGED", "merged.o")
    assert made(kernel, *objects) == (image, 1)


def test_the_linkers_own_order_of_sections_makes_the_image_of_two_links(kernel: Path) -> None:
    (kernel / "k.lds").write_text(f"ENTRY(_start) SECTIONS {{ . = 0x100000; {SCRIPTS['orphans']} {ALL} }}")
    image, _ = made(kernel, "-T", "k.lds", ld="ld.lld")
    assert made(kernel, "--relink", "-T", "k.lds", ld="ld.lld") == (image, 2)


def test_after_a_link_with_empty_tables_one_more_is_enough_whatever_was_there_before(kernel: Path) -> None:
    """Also with --gc-sections, where the inputs do not tell the room; and after a change, with an older image there."""
    (kernel / "k.lds").write_text(f"ENTRY(_start) SECTIONS {{ . = 0x100000; {SCRIPTS['simple']} {ALL} }}")
    words = ("--gc-sections", "-T", "k.lds")
    for _ in range(2):
        logging_tool(kernel / "ld", "ld", kernel / "log")
        (kernel / "buildplug.toml").write_text(CONFIG.format(kernel) + '[[table]]\nrule = "ksyms"\n')
        (kernel / "log").unlink(missing_ok=True)
        for output in ("draft.elf", "k.elf"):
            command = ("--config", "buildplug.toml", "--empty=draft.elf", *words, "-z", "noexecstack")
            done = buildplug("ld", *command, "-o", output, "k.o", "more.o", cwd=kernel)
            assert done.returncode == 0, done.stderr
        assert len([line for line in (kernel / "log").read_text().splitlines() if " -o " in line]) == 2
        image = (kernel / "k.elf").read_bytes()
        assert made(kernel, "--relink", *words) == (image, 2)
        many = "".join(f"int added_{n}(int x) {{ return x * {n}; }}\n" for n in range(200))
        (kernel / "more.c").write_text(
            f"{SOURCES['more.c']}{many}int (*const all[])(int) __attribute__((retain)) = {{"
            f"{', '.join(f'added_{n}' for n in range(200))}}};"
        )
        tool("gcc", *FLAGS, "-c", "more.c", cwd=kernel)


@pytest.mark.parametrize("words", [("--gc-sections",), ("--defsym=other=0x5000000000",), ("--whole-archive", "lto.a")])
def test_where_the_room_is_another_the_image_is_that_of_two_links(kernel: Path, words: tuple[str, ...]) -> None:
    (kernel / "k.lds").write_text(f"ENTRY(_start) SECTIONS {{ . = 0x100000; {SCRIPTS['simple']} {ALL} }}")
    tool("gcc", *FLAGS, "-flto", "-ffat-lto-objects", "-c", "library.c", "-o", "lto.o", cwd=kernel)
    tool("ar", "rcs", "lto.a", "lto.o", cwd=kernel)
    image, _ = made(kernel, "-T", "k.lds", *words)
    assert made(kernel, "--relink", "-T", "k.lds", *words) == (image, 2)


@pytest.mark.parametrize(("word", "why"), [("--gc-sections", ", with --gc-sections"), ("implicit.lds", "")])
def test_a_line_says_why_a_first_link_is_not_the_only_one(kernel: Path, word: str, why: str) -> None:
    """Unless two were asked for. It accuses no input."""
    (kernel / "k.lds").write_text(f"ENTRY(_start) SECTIONS {{ . = 0x100000; {SCRIPTS['simple']} {ALL} }}")
    (kernel / "implicit.lds").write_text("more = 5;")
    words = (word, "--no-warn-rwx-segments", "-T", "k.lds")
    assert first_link(kernel, *words) == f"  RELINK  k.elf: the room of its tables was not known before{why}\n"
    assert first_link(kernel, "--relink", *words) == ""


def test_the_line_names_an_input_that_only_the_linker_compiles(kernel: Path) -> None:
    (kernel / "k.lds").write_text(f"ENTRY(_start) SECTIONS {{ . = 0x100000; {SCRIPTS['simple']} {ALL} }}")
    tool("clang-19", *FLAGS, "-flto=thin", "-c", "more.c", cwd=kernel)
    said = first_link(kernel, "-T", "k.lds", ld="ld.lld-19")
    assert said == "  RELINK  k.elf: the room of its tables was not known before, with LLVM's bitcode in more.o\n"
    assert first_link(kernel, "--relink", "-T", "k.lds", ld="ld.lld-19") == ""


def test_a_broken_archive_is_the_linkers_to_report(kernel: Path) -> None:
    (kernel / "broken.a").write_bytes((kernel / "library.a").read_bytes()[:8] + b"x" * 100)
    (kernel / "buildplug.toml").write_text(CONFIG.format(kernel) + '[[table]]\nrule = "ksyms"\n')
    logging_tool(kernel / "ld", "ld", kernel / "log")
    words = ("--whole-archive", "broken.a", "-o", "k.elf", "more.o")
    alone = subprocess.run(["ld", *words], cwd=kernel, capture_output=True, text=True, check=False)
    done = buildplug("ld", "--config", "buildplug.toml", *words, cwd=kernel)
    assert done.returncode == alone.returncode
    assert "Traceback" not in done.stderr
