"""buildplug ld as builds meet it: programs that read their own tables, and links that must stay what they were."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import costs
from buildplug.image.elf import Image
from buildplug.ld import wrapper
from tests.conftest import tool
from tests.linker.test_script import mapping
from tests.linux_image import link_words
from tests.samples import buildplug, built, copy_sample, one_line

LINKERS = ("ld", "ld.lld", "ld.lld-19", "mold")

# Exits with the number of its functions, if its table has each of three by name.
PROGRAM = """
struct row { int address; unsigned size; int name; };
extern const struct { unsigned rows, row_size; struct row row[]; } bp_functions;

__attribute__((noinline)) int first(int n) { __asm__ volatile(""); return n + 1; }
__attribute__((noinline)) int second(int n) { return first(n) * 2; }

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static int has(const void *function, const char *name)
{
    for (unsigned i = 0; i < bp_functions.rows; i++) {
        const struct row *row = &bp_functions.row[i];
        if ((const char *)&row->address + row->address == (const char *)function)
            return same((const char *)&row->name + row->name, name);
    }
    return 0;
}

void run(void)
{
    int found = has((void *)first, "first") && has((void *)second, "second") && has((void *)run, "run");
    long status = found && second(3) == 8 ? bp_functions.rows : 255;
    __asm__ volatile("syscall" : : "a"(60L), "D"(status));
    __builtin_unreachable();
}
"""
START = """
.globl _start
.type _start, @function
_start: and $-16, %rsp; call run
.size _start, . - _start
.section .note.GNU-stack, "", @progbits
"""
SCRIPT = """
ENTRY(_start)
SECTIONS
{
    . = 0x400000 + SIZEOF_HEADERS;
    .text : ALIGN(4096) { *(.text .text.*) }
    .rodata : ALIGN(4096) { *(.rodata .rodata.*) }
    .data : ALIGN(4096) { *(.data .data.*) }
}
"""
CONFIG = '[kernel]\nname = "prog"\n[toolchain]\ncc = "gcc"\n[[table]]\nrule = "functions"\n'
INPUTS = ("start.o", "program.o")


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the objects of a program, a linker script for it and a configuration."""
    folder = tmp_path_factory.mktemp("objects")
    texts = {"program.c": PROGRAM, "start.S": START, "user.lds": SCRIPT, "buildplug.toml": CONFIG}
    texts["extra.c"] = "int extra(int n) { return n + 3; }"
    texts["broken.c"] = "int nowhere(void); int broken(void) { return nowhere(); }"
    for name, text in texts.items():
        (folder / name).write_text(text)
    flags = ("-O2", "-fpie", "-ffreestanding", "-fno-stack-protector", "-fno-asynchronous-unwind-tables")
    tool("gcc", *flags, "-ffunction-sections", "-c", *(name for name in texts if name[-2:] in (".c", ".S")), cwd=folder)
    tool("ar", "rc", "extra.a", "extra.o", cwd=folder)
    return folder


@pytest.fixture
def work(objects: Path, tmp_path: Path) -> Path:
    """A folder to link in, which has links to all of them."""
    for path in objects.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def ld(
    work: Path, *words: str | Path, linker: str = "ld", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return buildplug("ld", "--config", "buildplug.toml", "--ld", linker, *words, cwd=work, env=env)


def linked(work: Path, *words: str | Path, linker: str = "ld", env: dict[str, str] | None = None) -> Path:
    """Links `prog`; the test fails if that fails, or if anything is left behind."""
    before = {*work.iterdir()}
    done = ld(work, *words, "-o", "prog", linker=linker, env=env)
    assert done.returncode == 0, done.stderr
    assert {*work.iterdir()} - before <= {work / "prog", work / "map", work / "depfile"}
    return work / "prog"


def functions(program: Path) -> int:
    """The number of a program's functions, by readelf; of those that are in what is loaded."""
    said = tool("readelf", "-sW", program)
    addresses = [int(line.split()[1], 16) for line in said.splitlines() if " FUNC " in line and " UND " not in line]
    found = re.findall(r"LOAD +0x\w+ 0x(\w+) 0x\w+ 0x\w+ 0x(\w+)", tool("readelf", "-lW", program))
    loaded = [(int(start, 16), int(size, 16)) for start, size in found]
    return sum(any(0 <= address - start < size for start, size in loaded) for address in addresses)


def rows(program: Path) -> int:
    """The number of rows that the program's table says it has: its first word."""
    image = Image(program)
    section = image.section(".bp_functions")
    return int.from_bytes(image.bytes_of(section)[:4].tobytes(), "little")


def finds_its_functions(program: Path) -> bool:
    return subprocess.run([program.absolute()], check=False).returncode == functions(program)


def section_names(program: Path) -> list[str]:
    """The sections of a program that are not empty, by readelf."""
    rows = [line.partition("] ")[2].split() for line in tool("readelf", "-SW", program).splitlines() if "] " in line]
    return [row[0] for row in rows if len(row) > 4 and row[4].strip("0")]


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize(
    "flags",
    [
        (), ("-pie", "--no-dynamic-linker"), ("--gc-sections", "--build-id"), ("-z", "norelro", "--icf=all"),
        ("-T", "user.lds"), ("--script=user.lds", "--gc-sections"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_program_finds_its_functions_in_its_table(work: Path, linker: str, flags: tuple[str, ...]) -> None:
    if linker == "mold" and "user.lds" in " ".join(flags):
        failed = ld(work, *flags, *INPUTS, "-o", "prog", linker=linker)
        assert "no SECTIONS in linker scripts" in one_line(failed.stderr)
        return
    flags = tuple(flag for flag in flags if linker != "ld" or flag != "--icf=all")
    program = linked(work, *flags, *INPUTS, linker=linker)
    assert finds_its_functions(program)
    assert not [name for name in section_names(program) if name.startswith((".rela.text", ".rela.bp"))]


@pytest.mark.parametrize(
    "words",
    [
        ("--version",), ("-v",), ("-V",), ("--help",), (), ("-o", "prog"), ("-r", *INPUTS, "-o", "prog"),
        ("-shared", "extra.o", "-o", "prog"), ("extra.o", "-e", "extra", "-o", "other"), ("@words",),
        ("broken.o", "-o", "other"), ("no-such.o", "-r", "-o", "prog"), ("extra.o", "-o", "no-such/prog"),
        ("extra.o", "-o", "prog", "-T", "no-such.lds"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_any_other_link_is_the_linkers_own(work: Path, words: tuple[str, ...]) -> None:
    (work / "words").write_text(f"--relocatable {shlex.join(INPUTS)} -o prog")
    results = []
    for command in (["ld"], [sys.executable, "-m", "buildplug", "ld", "--config", "buildplug.toml"]):
        done = subprocess.run([*command, *words], cwd=work, capture_output=True, check=False)
        made = {name: (work / name).read_bytes() for name in ("prog", "other") if (work / name).exists()}
        results.append((done.returncode, done.stdout, done.stderr, made))
        for name in made:
            (work / name).unlink()
    assert results[0] == results[1]


def test_link_without_tables_is_the_linkers_own(work: Path) -> None:
    (work / "none.toml").write_text('[kernel]\nname = "prog"\n')
    for command in (["ld"], [sys.executable, "-m", "buildplug", "ld", "--config=none.toml"]):
        subprocess.run([*command, "extra.o", "-e", "extra", "-o", "prog"], cwd=work, check=True)
        (work / "prog").rename(work / Path(command[0]).name)
    assert (work / "ld").read_bytes() == (work / Path(sys.executable).name).read_bytes()


def test_kernel_is_the_same_as_by_build(tmp_path: Path) -> None:
    kernel = copy_sample(tmp_path / "kernel")
    words = built(kernel)["commands"]["relink"]
    theirs = [
        word for word in words[1:-2] if "tables.lds" not in word and "_table" not in word and "anchors" not in word
    ]
    theirs.remove("-T")
    done = buildplug("ld", "--config", "buildplug.toml", *theirs, "-o", "vmlinux", cwd=kernel)
    assert done.returncode == 0, done.stderr
    assert (kernel / "vmlinux").read_bytes() == (kernel / "build" / "vmlinux").read_bytes()


@pytest.mark.parametrize("linker", LINKERS)
def test_response_files_archives_and_groups_go_through(work: Path, linker: str) -> None:
    inner = f"-o\nprog --whole-archive {shlex.quote(str(work / 'extra.a'))} --no-whole-archive"
    (work / "inner words").write_text(inner)
    nested = inner if linker == "mold" else "'@inner words'"
    (work / "words").write_text(f"{nested} --start-group start.o program.o extra.a --end-group")
    done = ld(work, "-o", "other", "@words", linker=linker)
    assert done.returncode == 0, done.stderr
    assert finds_its_functions(work / "prog")
    assert " extra\n" in tool("nm", work / "prog")
    assert not (work / "other").exists()


@pytest.mark.parametrize("linker", LINKERS)
def test_map_and_depfile_are_of_the_final_link_and_name_nothing_that_is_gone(work: Path, linker: str) -> None:
    texts = []
    for _ in range(2):
        linked(work, *INPUTS, "-Map=map", "--dependency-file=depfile", linker=linker)
        texts.append([(work / name).read_text() for name in ("map", "depfile")])
    assert texts[0] == texts[1]
    map_, depfile = texts[0]
    assert "bp_functions_table.S.o" in map_
    assert "_stub" not in map_
    target, _, inputs = depfile.partition("\n\n")[0].replace("\\\n", " ").partition(":")
    assert target == "prog"
    assert inputs.split() == ["buildplug.toml", *INPUTS]  # which says what the tables are
    assert all((work / line[:-1]).exists() for line in depfile.splitlines() if line.endswith(":"))


@pytest.mark.parametrize("linker", LINKERS)
def test_output_is_as_the_linker_alone_makes_it_and_the_table(work: Path, linker: str) -> None:
    program = linked(work, *INPUTS, "extra.o", linker=linker)
    tool(linker, *INPUTS, "extra.o", "--defsym=bp_functions=0", "-o", "plain", cwd=work)
    names = section_names(program)
    names.remove(".bp_functions")
    assert names == section_names(work / "plain")
    assert program.stat().st_mode == (work / "plain").stat().st_mode


@pytest.mark.parametrize("linker", ["ld", "ld.lld"])
def test_script_is_looked_for_where_the_linker_looks(work: Path, linker: str) -> None:
    (work / "scripts").mkdir()
    (work / "scripts" / "found.lds").write_text("INCLUDE rest.lds")
    (work / "scripts" / "rest.lds").symlink_to(work / "user.lds")
    program = linked(work, "-Lscripts", "-T", "found.lds", *INPUTS, linker=linker)
    assert finds_its_functions(program)
    names = section_names(program)
    assert names[names.index(".rodata") + 1] == ".bp_functions"


@pytest.mark.parametrize("how", ["--emit-relocs", "-q", "keep_relocations"])
def test_relocations_stay_if_they_are_asked_for(work: Path, how: str) -> None:
    if how == "keep_relocations":
        (work / "buildplug.toml").unlink()
        (work / "buildplug.toml").write_text(f"{CONFIG}[link]\nkeep_relocations = true\n")
    assert ".rela.bp_functions" in section_names(linked(work, *INPUTS, *([how] if how.startswith("-") else [])))


@pytest.mark.parametrize("linker", LINKERS)
def test_error_of_the_users_is_the_linkers_alone(work: Path, linker: str) -> None:
    (work / "prog").write_text("precious")
    plain = subprocess.run(
        [linker, "broken.o", "extra.o", "-e", "0", "-o", "other"], cwd=work, capture_output=True, text=True, check=False
    )
    done = ld(work, "broken.o", "extra.o", "-e", "0", "-o", "prog", linker=linker)
    assert plain.returncode != 0
    assert (done.returncode, done.stdout, done.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert (work / "prog").read_text() == "precious"
    assert not list(work.glob(".*"))


def test_warnings_come_once_and_name_the_output(work: Path) -> None:
    done = ld(work, "-N", *INPUTS, "-o", "prog")
    assert done.stderr == "ld: warning: prog has a LOAD segment with RWX permissions\n"


@pytest.mark.parametrize(
    "words",
    [
        ("--ld=gold", "it has no INSERT"), ("--ld=true", "expected GNU ld, lld or mold"),
        ("-s", "strip the image after"),
        ("--oformat=binary", "convert the image after"), ("--ld=no-such-ld", "cannot be run"),
        ("--config=none.toml", "none.toml: cannot be read"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(work: Path, words: tuple[str, str]) -> None:
    failed = ld(work, words[0].replace("=gold", "=ld.gold"), *INPUTS, "-o", "prog")
    assert failed.returncode == 1
    assert words[1] in one_line(failed.stderr)
    assert not (work / "prog").exists()


def test_wrapper_that_is_its_own_linker_is_refused(work: Path) -> None:
    itself = Path(sys.executable).with_name("buildplug-ld")
    failed = ld(work, "--version", linker=str(itself), env={"BUILDPLUG_CONFIG": "buildplug.toml"})
    assert "this wrapper again" in failed.stderr


def test_configuration_lies_beside_the_program(work: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (work / "our-ld").symlink_to(Path(sys.executable).with_name("buildplug-ld"))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([work / "our-ld", *(work / name for name in INPUTS), "-o", "prog"], cwd=elsewhere, check=True)
    assert finds_its_functions(elsewhere / "prog")


PLACES = ("option", "environment", "output", "here", "parent")


@pytest.mark.parametrize("first", PLACES)
def test_configuration_is_the_first_of_where_it_is_looked_for(tmp_path: Path, first: str) -> None:
    """Each place has one that says another linker; those before `first` have none."""
    folders = {name: tmp_path / name for name in ("option", "environment", "output")}
    folders |= {"here": tmp_path / "parent" / "here", "parent": tmp_path / "parent"}
    for name, folder in folders.items():
        folder.mkdir(exist_ok=True, parents=True)
        if PLACES.index(name) >= PLACES.index(first):
            text = f'[kernel]\nname = "k"\n[toolchain]\nld = "no-such-{name}"\n'
            (folder / "buildplug.toml").write_text(text)
    words = ["--config", str(folders["option"])] if first == "option" else []
    env = {"BUILDPLUG_CONFIG": str(folders["environment"])} if first in PLACES[:2] else {}
    done = buildplug("ld", *words, "a.o", "-o", "../../output/x", cwd=folders["here"], env=env)
    assert f"no-such-{first}: cannot be run" in one_line(done.stderr)


def test_configuration_that_is_nowhere_is_wrong_usage(tmp_path: Path) -> None:
    lost = buildplug("ld", "--version", cwd=tmp_path)
    assert lost.returncode == 2
    assert "expected a configuration, found none" in one_line(lost.stderr)


def test_help_is_ours_and_says_every_option_and_variable(tmp_path: Path) -> None:
    done = buildplug("ld", "--help", cwd=tmp_path)
    assert done.returncode == 0
    known = {f"--{name}" for name in (*wrapper.VALUED, "keep")} | {"BUILDPLUG_CONFIG", "BUILDPLUG_LD", "BUILDPLUG_KEEP"}
    assert known | {wrapper.INSIDE} <= set(re.findall(r"--\w+|BUILDPLUG_\w+", done.stdout))


def test_help_of_the_linker_is_there_for_who_names_one(tmp_path: Path) -> None:
    assert buildplug("ld", "--ld", "ld", "--help", cwd=tmp_path).stdout == tool("ld", "--help")


def test_failed_link_of_another_name_that_wants_a_table_says_which_name_has_it(work: Path) -> None:
    failed = ld(work, *INPUTS, "-o", "other")
    assert failed.returncode == 1
    assert "undefined reference to `bp_functions'" in failed.stderr
    line = one_line(failed.stderr)
    assert "other: was linked without the table bp_functions, which program.o refers to" in line
    assert "expected the output prog, found other" in line


def test_link_of_another_name_ends_with_the_status_and_by_the_signals_of_the_linker(work: Path) -> None:
    (work / "slow").write_text("#!/bin/sh\ntrap 'exit 7' TERM\n: >started\nwhile :; do sleep 0.05; done\n")
    (work / "slow").chmod(0o755)
    command = [sys.executable, "-m", "buildplug", "ld", "--config", "buildplug.toml", "--ld", "./slow", "extra.o"]
    with subprocess.Popen(command, cwd=work) as process:
        while not (work / "started").exists() and process.poll() is None:
            time.sleep(0.01)
        process.terminate()
    assert process.returncode == 7


@pytest.mark.parametrize("words", [("-r",), ("-shared",)])
def test_link_that_is_passed_on_imports_next_to_nothing(work: Path, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "buildplug", "ld", "--ld", "true", *words, "extra.o"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=True)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "buildplug.linker.command_line" in modules
    assert not modules & {"argparse", "dataclasses", "pathlib", "re", "tomllib", "typing"}


def test_what_was_made_on_the_way_is_kept_if_asked_for(work: Path) -> None:
    assert ld(work, *INPUTS, "-o", "prog", env={"BUILDPLUG_KEEP": "1"}).returncode == 0
    kept = work / "prog.buildplug"
    assert {"prog.draft", "record.json", "gen"} <= {path.name for path in kept.iterdir()}
    assert buildplug("verify", kept / "prog.draft", kept / "prog.relinked").returncode == 0


@pytest.mark.parametrize(
    "name", ["a b", "q'u\"o", "ünï", "-dash", "$HOME", "@at", "#x", "a=b", "[ab]*", "a\nb", "\udcff"]
)
@pytest.mark.parametrize("linker", ["ld", "ld.lld"])
def test_any_path_goes(work: Path, name: str, linker: str) -> None:
    image = f"{name.strip('-')}.elf" if name.isprintable() else "prog"  # TOML has no bytes that are not UTF-8
    (work / name).mkdir()
    (work / name / "buildplug.toml").write_text(CONFIG.replace('"prog"', f"'''{image}'''"))
    for path in (*INPUTS, "user.lds"):
        (work / name / path).symlink_to(work / path)
    words = ["-T", f"{name}/user.lds", *(f"./{name}/{path}" for path in INPUTS), "-Map", f"{name}/map"]
    done = ld(work, f"--config={name}", *words, "-o", f"{name}/{image}", linker=linker)
    assert done.returncode == 0, done.stderr
    assert finds_its_functions(work / name / image)
    assert sorted(p.name for p in (work / name).iterdir()) == sorted(
        ["buildplug.toml", *INPUTS, "user.lds", "map", image]
    )


def test_folder_with_a_percent_sign_goes(work: Path) -> None:  # where lld itself cannot write
    (work / "100%").mkdir()
    done = ld(work, *INPUTS, "-Map", "map", "-o", "100%/prog")
    assert done.returncode == 0, done.stderr
    assert finds_its_functions(work / "100%" / "prog")
    assert "100%/prog" in (work / "map").read_text()
    assert sorted(path.name for path in (work / "100%").iterdir()) == ["prog"]


def stopping_linker(work: Path) -> Path:
    """A linker that says so and waits where it should link for the second time."""
    path = work / "stopping"
    path.write_text('#!/bin/sh\ncase "$*" in *relinked*) : >at-relink; exec sleep 100;; esac\nexec ld "$@"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("number", "left"), [(signal.SIGKILL, 1), (signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGHUP, 0)]
)
def test_link_that_is_killed_half_way_leaves_the_old_output(work: Path, number: signal.Signals, left: int) -> None:
    (work / "prog").write_text("precious")
    command = [sys.executable, "-m", "buildplug", "ld", "--config", "buildplug.toml", "--ld", stopping_linker(work)]
    with subprocess.Popen([*map(str, command), *INPUTS, "-o", "prog"], cwd=work, process_group=0) as process:
        while not (work / "at-relink").exists() and process.poll() is None:
            time.sleep(0.01)
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
    assert process.returncode != 0
    assert (work / "prog").read_text() == "precious"
    assert len(list(work.glob(".*"))) == left
    assert ld(work, *INPUTS, "-o", "prog").returncode == 0
    assert finds_its_functions(work / "prog")
    assert not list(work.glob(".*"))


def test_links_of_one_output_at_once_do_not_mix(work: Path) -> None:
    variants = ((), ("extra.o",))
    alone = {linked(work, *INPUTS, *more).read_bytes() for more in variants}
    command = [sys.executable, "-m", "buildplug", "ld", "--config", "buildplug.toml", *INPUTS, "-o", "prog"]
    running = [subprocess.Popen([*command, *more], cwd=work) for more in variants * 2]
    assert [process.wait() for process in running] == [0] * len(running)
    assert (work / "prog").read_bytes() in alone
    assert not list(work.glob(".*"))


HOSTED = """
#include <stdio.h>
extern const unsigned bp_functions[];
int twice(int);
int main(void) { printf("%u %d\\n", bp_functions[0], twice(4)); }
"""
HANDLERS = """
name = "handlers"
about = "what handles"
[select]
rows = "symbols"
functions = ["handle_*"]
[table]
flags = "aw"
fields = [{ name = "handler", type = "u8", value = "address", base = "zero" }]
"""
HANDLED = """
#include <stdio.h>
extern const struct { unsigned rows, row_size; void (*row[])(void); } bp_handlers;
__attribute__((noinline)) void handle_second(void) { puts("second"); }
__attribute__((noinline)) void handle_first(void) { puts("first"); }
int main(void) { for (unsigned i = 0; i < bp_handlers.rows; i++) bp_handlers.row[i](); }
"""
RUST = """
#![no_std]
#![no_main]
use core::{arch::asm, panic::PanicInfo, slice};

#[repr(C)]
struct Row { address: i32, size: u32, name: i32 }
#[repr(C)]
struct Table { rows: u32, row_size: u32, row: [Row; 0] }
extern "C" { static bp_functions: Table; }

#[no_mangle]
#[inline(never)]
extern "C" fn twice(n: u32) -> u32 { n * 2 }

#[no_mangle]
unsafe extern "C" fn _start() -> ! {
    let rows = slice::from_raw_parts(bp_functions.row.as_ptr(), bp_functions.rows as usize);
    let at = twice as *const () as usize;
    let found = rows.iter().any(|row| (&row.address as *const i32 as usize).wrapping_add(row.address as usize) == at);
    let status = if found { bp_functions.rows } else { 255 };
    asm!("syscall", in("eax") 60, in("edi") status, options(noreturn))
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! { loop {} }
"""
TWICE = "__attribute__((noinline)) int twice(int n) { return 2 * n; }\n"


@pytest.mark.parametrize(
    "driver",
    [
        "gcc -B{dir} -flto --ld=ld", "gcc -B{dir} -flto -no-pie -Wl,--gc-sections --ld=ld", "gcc -B{dir} --ld=mold",
        "gcc -B{dir} -static --ld=ld", "gcc -B{dir} -static-pie -fpie --ld=ld.lld", "gcc -B{dir} -static --ld=mold",
        "gcc -B{dir} -g --ld=ld.lld-19", "clang -B{dir} --ld=ld", "clang --ld-path={dir}/ld -flto --ld=ld.lld",
        "clang --ld-path={dir}/buildplug-ld -flto=thin -fno-pie -no-pie --ld=ld.lld",
    ],
)  # fmt: skip
def test_compiler_drivers_and_their_lto_go_through(work: Path, driver: str) -> None:
    (work / "main.c").write_text(HOSTED)
    (work / "twice.c").write_text(TWICE)
    command, linker = driver.split(" --ld=")
    linked_by(command, linker, work, "-O2", "main.c", "twice.c")
    assert tool(work / "prog").split() == [str(functions(work / "prog")), "8"]


def linked_by(driver: str, linker: str, work: Path, *words: str) -> Path:
    """Links `prog` by a compiler driver, whose words may have {dir}: that of our `ld`."""
    assert buildplug("ld", "--into", "a dir", "--config", "buildplug.toml", "--ld", linker, cwd=work).returncode == 0
    tool(*(word.format(dir=work / "a dir") for word in driver.split()), *words, "-o", "prog", cwd=work)
    return work / "prog"


@pytest.mark.parametrize(("flag", "makes"), [("lld", "LLD"), ("bfd", "GCC: (")])
def test_driver_that_is_told_which_linker_gets_that_one_around_which_we_are(work: Path, flag: str, makes: str) -> None:
    (work / "main.c").write_text(HOSTED)
    (work / "twice.c").write_text(TWICE)
    program = linked_by(f"gcc -B{{dir}} -fuse-ld={flag}", "ld", work, "main.c", "twice.c")
    assert tool(program).split() == [str(functions(program)), "8"]
    assert ("Linker: " in (comment := tool("readelf", "-p.comment", program))) == (flag == "lld")
    assert makes in comment


@pytest.mark.parametrize("linker", LINKERS)
def test_rustc_has_it_for_its_linker(work: Path, linker: str) -> None:
    (work / "prog.rs").write_text(RUST)
    flags = "-Cpanic=abort -Copt-level=2 -Crelocation-model=static -Clinker-flavor=ld -Clinker={dir}/ld"
    assert finds_its_functions(linked_by(f"rustc {flags}", linker, work, "prog.rs"))


@pytest.mark.parametrize("flags", ["-pie -Wl,-z,now", "-no-pie", "-pie -Wl,-z,noseparate-code,--build-id=none"])
@pytest.mark.parametrize("linker", LINKERS)
def test_position_independent_program_is_laid_out_as_by_the_linker_alone(work: Path, linker: str, flags: str) -> None:
    (work / "main.c").write_text(HOSTED)
    (work / "twice.c").write_text(TWICE)
    linked_by(f"gcc -B{{dir}} -O2 {flags}", linker, work, "main.c", "twice.c")
    (work / "plain").mkdir()
    (work / "plain" / "ld").symlink_to(str(shutil.which(linker)))
    more = ("-Wl,--defsym=bp_functions=main", "-Wl,--emit-relocs")  # which make lld put .eh_frame elsewhere
    tool("gcc", "-Bplain", "-O2", *flags.split(), "main.c", "twice.c", *more, "-o", "other", cwd=work)
    ours, plain = (mapping(work / name) for name in ("prog", "other"))
    del ours[".bp_functions"]
    assert list(ours.items()) == list(plain.items())
    ends = [
        re.findall(r"GNU_RELRO +0x\w+ 0x(\w+) 0x\w+ 0x\w+ 0x(\w+)", tool("readelf", "-lW", work / name))
        for name in ("prog", "other")
    ]
    assert len({(int(start, 16) + int(size, 16)) % 4096 for ((start, size),) in ends}) == 1


@pytest.mark.parametrize("flags", ["-pie", "-no-pie"])
@pytest.mark.parametrize("linker", LINKERS)
def test_addresses_that_the_loader_fills_in_are_true(work: Path, linker: str, flags: str) -> None:
    (work / "handlers.toml").write_text(HANDLERS)
    (work / "buildplug.toml").unlink()
    (work / "buildplug.toml").write_text(CONFIG.replace("functions", "handlers.toml"))
    (work / "main.c").write_text(HANDLED)
    program = linked_by(f"gcc -B{{dir}} -O2 -fpie {flags}", linker, work, "main.c")
    assert tool(program).split() == ["second", "first"]


@pytest.mark.linux
def test_linux_gets_a_table_in_at_most_twice_the_linkers_memory(vmlinux: Path, tmp_path: Path) -> None:
    (tmp_path / "buildplug.toml").write_text(CONFIG.replace("prog", "vmlinux"))
    words = [*link_words(vmlinux.parent, "--build-id=none"), ".tmp_vmlinux.kallsyms2.o", "-o"]
    peaks = []
    for command in (["ld"], [sys.executable, "-m", "buildplug", "ld", "--config", str(tmp_path)]):
        output = tmp_path / ("vmlinux" if len(command) > 1 else "plain")
        peaks.append(costs.run([*command, *words, output], vmlinux.parent).peak)
    assert peaks[1] <= 2 * peaks[0]
    assert rows(tmp_path / "vmlinux") == functions(tmp_path / "vmlinux") == functions(tmp_path / "plain")
