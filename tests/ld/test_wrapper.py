"""buildplug ld as builds meet it: programs that read their own tables, and links that must stay what they were."""

import shlex
import sys
from pathlib import Path

import pytest

from bench import costs
from tests.conftest import tool
from tests.ld.programs import CONFIG, INPUTS, LINKERS, finds_its_functions, functions, ld, linked, rows, section_names
from tests.linux_image import link_words
from tests.samples import buildplug, built, copy_sample, logging_tool, one_line


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


@pytest.mark.parametrize("linker", ["ld", "ld.lld"])
def test_the_output_that_is_to_have_empty_tables_is_linked_once_and_with_these(work: Path, linker: str) -> None:
    logging_tool(work / "ld", linker, work / "log")
    before = {*work.iterdir()}
    done = ld(work, "--empty=first", "--sysmap=list", "-T", "user.lds", *INPUTS, "-o", "first", linker="./ld")
    assert done.returncode == 0, done.stderr
    assert {*work.iterdir()} - before == {work / "first", work / "log"}
    assert rows(work / "first") == 0
    assert [" -o " in line for line in (work / "log").read_text().splitlines()].count(True) == 1
    refused = ld(work, "--empty=first", "-T", "user.lds", "-o", "first", "no.o", linker="./ld")
    assert "no.o" in refused.stderr
    assert not (work / "first").exists()


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


@pytest.mark.parametrize(("more", "asked"), [("ksyms", False), ("relocs", True)])
def test_relocations_are_asked_for_where_a_table_needs_them(work: Path, more: str, asked: bool) -> None:
    (work / "buildplug.toml").unlink()
    (work / "buildplug.toml").write_text(f'{CONFIG}[[table]]\nrule = "{more}"\n')
    (work / "noting").write_text('#!/bin/sh\necho "$@" >> words\nexec ld "$@"\n')
    (work / "noting").chmod(0o755)
    (work / "words").touch()
    linked(work, *INPUTS, linker="./noting")
    links = [line.split() for line in (work / "words").read_text().splitlines() if "-o" in line.split()]
    assert links
    assert all(("--emit-relocs" in words) == asked for words in links)


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


def test_what_was_made_on_the_way_is_kept_if_asked_for(work: Path) -> None:
    assert ld(work, *INPUTS, "-o", "prog", env={"BUILDPLUG_KEEP": "1"}).returncode == 0
    kept = work / "prog.buildplug"
    assert {"prog.draft", "record.json", "gen"} <= {path.name for path in kept.iterdir()}
    assert buildplug("verify", kept / "prog.draft", kept / "prog.relinked").returncode == 0
    assert (work / "prog").stat().st_nlink == 1  # what changes it in place changes nothing else


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


@pytest.mark.linux
def test_linux_gets_a_table_in_at_most_twice_the_linkers_memory(vmlinux: Path, tmp_path: Path) -> None:
    (tmp_path / "buildplug.toml").write_text(CONFIG.replace("prog", "vmlinux"))
    words = [*link_words(vmlinux.parent, identity="--build-id=none"), ".tmp_vmlinux.kallsyms2.o", "-o"]
    peaks = []
    for command in (["ld"], [sys.executable, "-m", "buildplug", "ld", "--config", str(tmp_path)]):
        output = tmp_path / ("vmlinux" if len(command) > 1 else "plain")
        peaks.append(costs.run([*command, *words, output], vmlinux.parent).peak)
    assert peaks[1] <= 2 * peaks[0]
    assert rows(tmp_path / "vmlinux") == functions(tmp_path / "vmlinux") == functions(tmp_path / "plain")
