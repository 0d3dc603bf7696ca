"""The patch of a Linux tree: put in, taken out, and the trees that it refuses. The trees have only what it looks at."""

import os
import re
from pathlib import Path

import pytest

from buildplug.linux.versions import SCRIPT, STAGES
from tests.conftest import tool
from tests.samples import buildplug, edit, one_line

(STAGE,) = STAGES
EMPTIED = STAGE.emptied
CONFIG = "".join(f"CONFIG_{option}=y\n" for option in STAGE.wanted)
TREE = {
    "Makefile": "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 9\n"
    f"bzImage: ; grep -c buildplug {SCRIPT}\nfails: ; exit 3\nconfig: ; cat .config\n",
    SCRIPT: f'#!/bin/sh\nLD="$1"\nis_enabled() {{ false; }}\n{STAGE.hook}\n# buildplug is not here\n'
    'vmlinux_link vmlinux "${kallsymso}"\n',
    "scripts/kallsyms.c": '{"base-relative",   no_argument, &base_relative,   1},\n',
    "kernel/kallsyms_internal.h": "extern const u8 kallsyms_seqs_of_names[] __weak;\n",
    ".config": CONFIG,
} | {name: f"first\n{anchor}\nlast\n" for name, (anchor, _) in EMPTIED.items()}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "linux"
    for name, text in TREE.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / SCRIPT).chmod(0o755)
    return root


def state(tree: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(tree)): (path.read_bytes(), path.stat().st_mode)
        for path in tree.rglob("*") if path.is_file()
    }  # fmt: skip


def added(tree: Path, name: str) -> list[str]:
    """The lines that a file has and the tree as it was has not; none is gone."""
    before, after = TREE[name].splitlines(), (tree / name).read_text().splitlines()
    lines = [line for line in after if line not in before]
    assert [line for line in after if line not in lines] == before
    return lines


def test_the_patch_is_one_line_of_shell_that_makes_the_linker_ours(tree: Path) -> None:
    assert buildplug("kbuild", "--apply", tree).returncode == 0
    (line,) = added(tree, SCRIPT)
    script = f"LD=the-linker\nis_enabled() {{ true; }}\n{line}\n"
    script += "is_enabled CONFIG_KALLSYMS || echo off\n$LD --version; $LD --help\necho $BUILDPLUG_LD\n"
    said = tool("sh", "-c", script.replace("-m buildplug ld", "-c 'import sys; print(sys.argv[1:])'"))
    assert said.startswith("off\n['--config=")
    assert said.endswith("the-linker\n")
    config = re.search(r"--config=(\S+)", line)
    assert config
    assert Path(config[1]).is_file()
    for name in EMPTIED:
        assert not added(tree, name)


def test_the_annotations_are_emptied_on_demand(tree: Path) -> None:
    assert buildplug("kbuild", "--apply", "--paravirt", tree).returncode == 0
    source = tree / "macro.c"
    for name, (_, lines) in EMPTIED.items():
        assert len(added(tree, name)) == len(lines)
    define = next(line for line in added(tree, "arch/x86/include/asm/paravirt_types.h") if line.startswith("#define"))
    source.write_text(f'{define}\n_paravirt_alt("call *pv_ops", "1", "2")\n')
    assert '"call *pv_ops" "\\n"' in tool("gcc", "-E", "-P", source)


@pytest.mark.parametrize("options", [[], ["--paravirt"]])
def test_what_is_taken_out_leaves_the_tree_as_it_was(tree: Path, options: list[str]) -> None:
    before = state(tree)
    for arguments in (["--apply", *options], ["--apply", *options], ["--revert"], ["--revert"]):
        done = buildplug("kbuild", *arguments, tree)
        assert done.returncode == 0, done.stderr
        assert (state(tree) == before) == (arguments == ["--revert"])


def test_applying_again_changes_no_file_and_without_paravirt_takes_its_part_out(tree: Path) -> None:
    buildplug("kbuild", "--apply", "--paravirt", tree)
    times = {name: (tree / name).stat().st_mtime_ns for name in TREE}
    buildplug("kbuild", "--apply", "--paravirt", tree)
    assert {name: (tree / name).stat().st_mtime_ns for name in TREE} == times
    assert buildplug("kbuild", "--apply", tree).returncode == 0
    assert [len(added(tree, name)) for name in (SCRIPT, *EMPTIED)] == [1, 0, 0]


def test_one_command_makes_and_takes_the_patch_out(tree: Path) -> None:
    before = state(tree)
    done = buildplug("kbuild", tree)
    assert done.returncode == 0, done.stderr
    assert "\n2\n" in done.stdout  # the script's own line, and ours
    assert state(tree) == before
    assert "CONFIG_KALLSYMS=y" in buildplug("kbuild", tree, "--", "-s", "config").stdout


def test_a_build_that_fails_is_an_error_and_leaves_the_tree_as_it_was(tree: Path) -> None:
    before = state(tree)
    done = buildplug("kbuild", tree, "--", "fails")
    assert done.returncode == 1
    assert "make: build Linux failed with exit status 2" in one_line(done.stderr)
    assert state(tree) == before


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("Makefile", "VERSION", "EDITION", "expected a source tree of Linux, found none"),
        (SCRIPT, STAGE.hook, "kallsymso=", f"{SCRIPT} has 0 lines {STAGE.hook!r} instead of one"),
        (SCRIPT, STAGE.hook, f"{STAGE.hook}\n{STAGE.hook}", f"{SCRIPT} has 2 lines {STAGE.hook!r} instead of one"),
        (SCRIPT, "vmlinux_link vmlinux", 'vmlinux_link "$4"', f"the last link of {SCRIPT} is not vmlinux"),
        ("scripts/kallsyms.c", "base-relative", "lto", 'scripts/kallsyms.c has no "base-relative"'),
        ("kernel/kallsyms_internal.h", "_seqs_of", "", "kallsyms_internal.h has no kallsyms_seqs_of_names"),
        ("arch/x86/include/asm/paravirt.h", "PARA_SITE", "PARA_SITES", "paravirt.h has 0 lines '#define PARA_SITE"),
        (".config", "CONFIG_KALLSYMS=y", "# CONFIG_KALLSYMS is not set", "expected CONFIG_KALLSYMS=y, found it off"),
        (".config", "CONFIG_KALLSYMS_ALL=y\n", "", "expected CONFIG_KALLSYMS_ALL=y, found it off"),
        (".config", "CONFIG_X86_NEED_RELOCS=y\n", "", "expected CONFIG_X86_NEED_RELOCS=y, found it off"),
        (".config", "CONFIG_X86_64=y", "CONFIG_X86_64=y\nCONFIG_LTO_CLANG=y", "expected CONFIG_LTO_CLANG off"),
    ],
)
def test_a_tree_that_does_not_fit_is_left_alone(tree: Path, name: str, old: str, new: str, message: str) -> None:
    edit(tree / name, (old, new))
    before = state(tree)
    done = buildplug("kbuild", "--paravirt", tree)
    assert done.returncode == 1
    error = one_line(done.stderr)
    assert message in error
    assert str(tree) in error
    assert state(tree) == before


def test_another_version_with_the_same_link_stage_is_taken(tree: Path) -> None:
    edit(tree / "Makefile", ("PATCHLEVEL = 1", "PATCHLEVEL = 2"))
    assert buildplug("kbuild", "--apply", tree).returncode == 0
    assert len(added(tree, SCRIPT)) == 1


def test_tree_of_the_form_of_6_12_is_refused_with_all_that_differs(tree: Path) -> None:
    edit(tree / "Makefile", ("PATCHLEVEL = 1", "PATCHLEVEL = 12"))
    edit(tree / SCRIPT, (STAGE.hook, "kallsymso="), ('vmlinux_link vmlinux "${kallsymso}"', "vmlinux_link vmlinux"))
    edit(tree / "scripts/kallsyms.c", ('{"base-relative",   no_argument, &base_relative,   1},\n', ""))
    for name in EMPTIED:
        (tree / name).write_text("#define PVOP_CALL0\n")
    before = state(tree)
    assert one_line(buildplug("kbuild", "--apply", tree).stderr) == (
        f"buildplug: {tree}: expected the link stage of Linux 6.1, found Linux 6.12, where {SCRIPT} has 0 lines "
        f'{STAGE.hook!r} instead of one, scripts/kallsyms.c has no "base-relative"; build it with its own link stage'
    )
    assert all(name in one_line(buildplug("kbuild", "--apply", "--paravirt", tree).stderr) for name in EMPTIED)
    assert state(tree) == before


def test_what_is_no_tree_is_an_error(tmp_path: Path) -> None:
    for arguments in ([], ["--apply"], ["--revert"]):
        done = buildplug("kbuild", *arguments, tmp_path)
        assert done.returncode == 1
        assert str(tmp_path) in one_line(done.stderr)


def test_a_file_that_cannot_be_read_as_text_is_an_error(tree: Path) -> None:
    (tree / SCRIPT).write_bytes(os.urandom(8) + b"\xff")
    assert "expected UTF-8" in one_line(buildplug("kbuild", "--apply", tree).stderr)
