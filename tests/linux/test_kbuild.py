"""Our stage in a Linux tree: as make's command, as a patch, and the trees that it refuses. The trees have only what it
looks at."""

import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from buildplug.linux.kbuild import MAKEFILE, TEXT
from buildplug.linux.versions import SCRIPT, STAGES, LinkStage
from tests.conftest import tool
from tests.samples import buildplug, edit, one_line

OLD, NEW, NEWEST = STAGES
EMPTIED = OLD.emptied
KBUILD = (sys.executable, "-m", "buildplug", "kbuild")
# root without the right to write what is not writable
PLAIN_USER = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override") if os.geteuid() == 0 else ()
AUTO = "include/config/auto.conf"  # what the script knows of the configuration


def options(stage: LinkStage, machine: str) -> str:
    """A configuration that has all that the form wants."""
    return "".join(f"CONFIG_{option}=y\n" for option in (machine, *stage.machines[machine], *stage.wanted))


def files(stage: LinkStage) -> dict[str, str]:
    """What is looked at in a tree of a form."""
    major, minor = stage.version.split(".")
    found = {
        "Makefile": f"VERSION = {major}\nPATCHLEVEL = {minor}\nSUBLEVEL = 9\n"
        f"include {MAKEFILE}\nbzImage: {SCRIPT} ; @printenv {TEXT} $(info $(cmd_link_vmlinux))\n"
        "fails: ; exit 3\nconfig: ; cat .config\n",
        MAKEFILE: 'CONFIG_SHELL = sh\ncmd_link_vmlinux =\t\t\\\n\t$< "$(LD)" "$(FLAGS)";\t\\\n'
        "\t$(if $(POST), post $@, true)\n",
        SCRIPT: f'#!/bin/sh\nLD="$1"\nis_enabled() {{ false; }}\n{stage.hook}\n# buildplug is not here\n'
        f'vmlinux_link {stage.output} "${{kallsymso}}"\n',
        ".config": options(stage, "X86_64"),
        AUTO: "CONFIG_KALLSYMS=y\n",
    } | {name: f"first\n{anchor}\nlast\n" for name, (anchor, _) in stage.emptied.items()}
    found |= {name: "".join(f"#define {text}\n" for text in texts) for name, texts in stage.listed.items()}
    return found | {name: f"{found.get(name, '')}/* {text} */\n" for name, text in stage.says.items()}


@pytest.fixture
def tree(tmp_path: Path, stage: LinkStage) -> Path:
    return written(tmp_path / "linux", stage)


@pytest.fixture
def old_tree(tmp_path: Path) -> Path:
    """One with a list of paravirt sites."""
    return written(tmp_path / "linux", OLD)


def written(root: Path, stage: LinkStage) -> Path:
    for name, text in files(stage).items():
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


def added(tree: Path, stage: LinkStage, name: str) -> list[str]:
    """The lines that a file has and the tree as it was has not; none is gone."""
    before, after = files(stage)[name].splitlines(), (tree / name).read_text().splitlines()
    lines = [line for line in after if line not in before]
    assert [line for line in after if line not in lines] == before
    return lines


def test_the_patch_is_one_line_of_shell_that_makes_the_linker_ours(tree: Path, stage: LinkStage) -> None:
    assert buildplug("kbuild", "--apply", tree).returncode == 0
    (line,) = added(tree, stage, SCRIPT)
    script = f"cd {tree}\nLD=the-linker\nis_enabled() {{ true; }}\n{line}\n"
    script += "is_enabled CONFIG_KALLSYMS || echo off\n$LD --version; $LD --help\necho $BUILDPLUG_LD\n"
    said = tool("sh", "-c", script.replace("-m buildplug ld", "-c 'import sys; print(sys.argv[1:])'"))
    assert said.startswith("off\n['--config=")
    assert said.endswith("the-linker\n")
    config = re.search(r"--config=(\S+)", line)
    assert config
    assert Path(config[1]).name == stage.kallsyms
    assert Path(config[1]).is_file()
    for name in stage.emptied:
        assert not added(tree, stage, name)


@pytest.mark.parametrize("own", [False, True])
def test_system_map_comes_with_the_link_where_the_tree_makes_it_as_its_form_does(
    tree: Path, stage: LinkStage, own: bool
) -> None:
    (tree / "scripts/mksysmap").write_text("\n\t".join(("#!/bin/sh", "", *stage.mksysmap, *["/ my_/d"][:own])))
    assert buildplug("kbuild", "--apply", tree).returncode == 0
    (line,) = added(tree, stage, SCRIPT)
    assert ("--sysmap=System.map" in line) == (not own)
    script = f'info() {{ echo "$@"; }}\nmksysmap() {{ echo theirs; }}\n{line}\nmksysmap vmlinux System.map\n'
    assert tool("sh", "-c", script) == ("theirs\n" if own else "NM System.map\n")


@pytest.mark.parametrize(
    ("stage", "used", "made"),
    [
        (OLD, '_paravirt_alt("call *pv_ops", "1", "2")', '"call *pv_ops" "\\n"'),
        (
            NEW,
            "____PVOP_CALL(r, op, o(a, b), c, i)",
            'asm volatile(CALL : o(a, b), SP : ptr(op), i : "memory", "cc" c)',
        ),
        (NEW, "____PVOP_ALT_CALL(r, op, alt, 1, o, c)", 'asm volatile(CALL : o, SP : ptr(op) : "memory", "cc" c); r;'),
        (NEWEST, "____PVOP_CALL(r, s, op, o, c, i)", 'asm volatile(CALL : o, SP : ptr(s.op), i : "memory", "cc" c)'),
        (NEWEST, "____PVOP_ALT_CALL(r, s, op, a, 1, o, c)", 'asm volatile(CALL : o, SP : ptr(s.op) : "memory", "cc"'),
    ],
)
def test_the_annotations_are_emptied_on_demand(tree: Path, stage: LinkStage, used: str, made: str) -> None:
    assert buildplug("kbuild", "--apply", "--paravirt", tree).returncode == 0
    source = tree / "macro.c"
    for name, (_, lines) in stage.emptied.items():
        assert len(added(tree, stage, name)) == len(lines)
    defines = [line for line in added(tree, stage, "arch/x86/include/asm/paravirt_types.h") if line[0] == "#"]
    given = ["#define PARAVIRT_CALL CALL", "#define ASM_CALL_CONSTRAINT SP", "#define paravirt_ptr(op) ptr(op)"]
    if stage is NEWEST:
        given[-1] = "#define paravirt_ptr(array, op) ptr(array.op)"
    source.write_text("\n".join([*defines, *given, used, ""]))
    assert made in tool("gcc", "-E", "-P", source)


@pytest.mark.parametrize(
    ("stage", "options"),
    [(stage, options) for stage in STAGES for options in ([], ["--paravirt"])],
)
def test_what_is_taken_out_leaves_the_tree_as_it_was(tree: Path, options: list[str]) -> None:
    before = state(tree)
    for arguments in (["--apply", *options], ["--apply", *options], ["--revert"], ["--revert"]):
        done = buildplug("kbuild", *arguments, tree)
        assert done.returncode == 0, done.stderr
        assert (state(tree) == before) == (arguments == ["--revert"])


def test_applying_again_changes_no_file_and_without_paravirt_takes_its_part_out(old_tree: Path) -> None:
    tree = old_tree
    buildplug("kbuild", "--apply", "--paravirt", tree)
    times = {name: (tree / name).stat().st_mtime_ns for name in files(OLD)}
    buildplug("kbuild", "--apply", "--paravirt", tree)
    assert {name: (tree / name).stat().st_mtime_ns for name in files(OLD)} == times
    assert buildplug("kbuild", "--apply", tree).returncode == 0
    assert [len(added(tree, OLD, name)) for name in (SCRIPT, *EMPTIED)] == [1, 0, 0]


def test_one_command_has_make_run_the_script_with_our_line_and_changes_nothing_in_the_tree(
    tree: Path, stage: LinkStage
) -> None:
    assert buildplug("kbuild", "--apply", tree).returncode == 0
    patched = (tree / SCRIPT).read_text()
    assert buildplug("kbuild", "--revert", tree).returncode == 0
    before = {path: path.stat().st_ctime_ns for path in tree.rglob("*")}
    done = buildplug("kbuild", tree, "--", "-s", "LD=ld", "FLAGS=-z now", "POST=1")
    assert done.returncode == 0, done.stderr
    command, text = done.stdout.replace(";  ", "; ").split("\n", 1)
    assert command.endswith(f' sh -c "${{{TEXT}:?}}" {SCRIPT} "ld" "-z now"; post bzImage')
    assert text == f"{patched}\n"
    assert {path: path.stat().st_ctime_ns for path in tree.rglob("*")} == before
    assert "CONFIG_KALLSYMS=y" in buildplug("kbuild", tree, "--", "-s", "config").stdout


def test_a_tree_that_runs_the_script_in_another_way_is_refused_but_may_be_patched(tree: Path) -> None:
    edit(tree / MAKEFILE, ("$<", "env $<"))
    before = state(tree)
    done = buildplug("kbuild", tree)
    assert done.returncode == 1
    assert f"{MAKEFILE}: expected cmd_link_vmlinux to begin with $<" in one_line(done.stderr)
    assert state(tree) == before
    assert buildplug("kbuild", "--apply", tree).returncode == 0


def test_a_build_that_fails_is_an_error_and_leaves_the_tree_as_it_was(tree: Path) -> None:
    before = state(tree)
    done = buildplug("kbuild", tree, "--", "fails")
    assert done.returncode == 1
    assert "make: build Linux failed with exit status 2" in one_line(done.stderr)
    assert state(tree) == before


def test_a_script_that_was_patched_is_taken_back_but_headers_that_are_to_be_patched_stay(old_tree: Path) -> None:
    """Else all would be compiled again."""
    edit(old_tree / "Makefile", ("config:", f"times: ; stat -c %.9Y {' '.join((SCRIPT, *EMPTIED))}\nconfig:"))
    assert buildplug("kbuild", "--apply", "--paravirt", old_tree).returncode == 0
    before = [(old_tree / name).stat().st_mtime_ns for name in (SCRIPT, *EMPTIED)]
    done = buildplug("kbuild", "--paravirt", old_tree, "--", "-s", "times")
    assert done.returncode == 0, done.stderr
    after = [int(line.replace(".", "")) for line in done.stdout.splitlines()]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True, True]


@pytest.mark.parametrize("built", [".", "built"])
def test_what_killed_builds_have_left_is_removed_with_the_patch(old_tree: Path, built: str) -> None:
    (old_tree / built).mkdir(exist_ok=True)
    before = state(old_tree)
    (old_tree / "scripts/.link-vmlinux.sh.x.buildplug-tmp").touch()
    left = old_tree / built / ".vmlinux.x.buildplug-tmp"
    left.mkdir()
    (left / "vmlinux.draft").touch()
    assert buildplug("kbuild", "--revert", old_tree, "--", f"O={built}").returncode == 0
    assert state(old_tree) == before
    assert not left.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_headers_that_a_killed_build_has_patched_are_as_they_were_after_it_or_after_a_revert(
    old_tree: Path, number: signal.Signals
) -> None:
    edit(old_tree / "Makefile", ("fails:", "waits: ; touch started; sleep 100\nfails:"))
    before = state(old_tree)
    with subprocess.Popen(
        [*KBUILD, "--paravirt", old_tree, "--", "-s", "waits"], start_new_session=True
    ) as build:  # fmt: skip
        while not (old_tree / "started").exists():
            time.sleep(0.02)
        os.killpg(build.pid, number)
    (old_tree / "started").unlink()
    left = state(old_tree)
    assert {name for name in left if left[name] != before[name]} == (set(EMPTIED) if number == 9 else set())
    assert buildplug("kbuild", "--revert", old_tree).returncode == 0
    assert state(old_tree) == before


@pytest.mark.parametrize("words", [[], ["--apply"], ["--revert"]])
def test_while_a_build_runs_another_is_refused_and_changes_nothing(old_tree: Path, words: list[str]) -> None:
    edit(old_tree / "Makefile", ("fails:", "waits: ; touch started; until [ -e go ]; do sleep 0.02; done\nfails:"))
    before = state(old_tree)
    with subprocess.Popen([*KBUILD, old_tree, "--", "-s", "waits"]) as build:
        while not (old_tree / "started").exists():
            time.sleep(0.02)
        during = state(old_tree)
        done = buildplug("kbuild", *words, old_tree)
        assert done.returncode == 1
        assert "expected no other build in this tree" in one_line(done.stderr)
        assert state(old_tree) == during
        (old_tree / "go").touch()
        assert build.wait() == 0
    for name in ("started", "go"):
        (old_tree / name).unlink()
    assert state(old_tree) == before


def test_a_build_that_was_killed_has_a_moment_to_end(old_tree: Path) -> None:
    before = state(old_tree)
    folder = os.open(old_tree, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    ends = threading.Timer(1.0, os.close, (folder,))
    ends.start()
    assert buildplug("kbuild", "--revert", old_tree).returncode == 0
    ends.join()
    assert state(old_tree) == before


def test_a_path_with_spaces_and_a_jobserver_are_no_hindrance(tmp_path: Path, stage: LinkStage) -> None:
    tree = written(tmp_path / "a tree of 'Linux'", stage)
    before = state(tree)
    (tmp_path / "Makefile").write_text("all: ; +$(COMMAND)\n")
    command = shlex.join([*KBUILD, str(tree)])
    said = tool("make", "-j3", f"COMMAND={command}", cwd=tmp_path)
    assert "buildplug_ld" in said
    assert "jobserver" not in said
    assert state(tree) == before


@pytest.mark.parametrize("words", [[], ["--apply"]])
def test_a_tree_that_cannot_be_written_can_be_built_but_not_patched(tree: Path, words: list[str]) -> None:
    before = state(tree)
    (tree / "scripts").chmod(0o555)
    try:
        done = subprocess.run([*PLAIN_USER, *KBUILD, *words, tree], capture_output=True, text=True, check=False)
    finally:
        (tree / "scripts").chmod(0o755)
    assert done.returncode == len(words)
    assert not words or f"{SCRIPT}: cannot be written" in one_line(done.stderr)
    assert state(tree) == before


def test_a_build_folder_is_found_and_its_configuration_counts(tmp_path: Path) -> None:
    tree, built = written(tmp_path / "linux", NEW), tmp_path / "linux" / "built"
    built.mkdir()
    (tree / ".config").unlink()
    (built / ".config").write_text(options(NEW, "ARM64"))
    assert buildplug("kbuild", "--apply", tree, "--", "O=built", "Image").returncode == 0
    assert len(added(tree, NEW, SCRIPT)) == 1
    (built / ".config").write_text(options(NEW, "RISCV").replace("CONFIG_64BIT=y\n", ""))
    for named, env in ((["O=built"], {}), ([f"O={built}"], {}), ([], {"KBUILD_OUTPUT": "built"})):
        refused = buildplug("kbuild", "--apply", tree, "--", *named, "Image", env=env)
        assert f"{built}/.config: expected CONFIG_64BIT=y, found it off" in one_line(refused.stderr)


def test_a_build_folder_leads_to_its_tree(tmp_path: Path) -> None:
    tree, built = written(tmp_path / "linux", NEW), tmp_path / "built"
    before = state(tree)
    built.mkdir()
    (built / "source").symlink_to(tree)
    (built / "Makefile").write_text(f"all: ; printenv {TEXT}\n")
    (built / ".config").write_text(options(NEW, "X86_64"))
    done = buildplug("kbuild", built, "--", "all")
    assert done.returncode == 0, done.stderr
    assert "buildplug_ld" in done.stdout
    assert state(tree) == before


def test_a_configuration_of_another_architecture_is_refused(tree: Path, stage: LinkStage) -> None:
    (tree / ".config").write_text("CONFIG_MIPS=y\n")
    known = " or ".join(f"CONFIG_{option}=y" for option in stage.machines)
    error = one_line(buildplug("kbuild", "--apply", tree).stderr)
    assert f"expected {known}, found another architecture; change the configuration" in error


@pytest.mark.parametrize(
    ("stage", "name", "old", "new", "message"),
    [
        (OLD, "Makefile", "VERSION", "EDITION", "expected a source tree of Linux, found none"),
        (OLD, SCRIPT, OLD.hook, NEW.hook, f"{SCRIPT} has 0 lines {OLD.hook!r} instead of one"),
        (NEW, SCRIPT, NEW.hook, OLD.hook, f"{SCRIPT} has 0 lines {NEW.hook!r} instead of one"),
        (OLD, SCRIPT, OLD.hook, f"{OLD.hook}\n{OLD.hook}", f"{SCRIPT} has 2 lines {OLD.hook!r} instead of one"),
        (OLD, SCRIPT, "vmlinux_link vmlinux", 'vmlinux_link "$4"', f"the last link of {SCRIPT} is not vmlinux"),
        (NEW, SCRIPT, "vmlinux_link vmlinux", 'vmlinux_link "$4"', f"the last link of {SCRIPT} is not vmlinux"),
        (OLD, "scripts/kallsyms.c", "base-relative", "lto", 'scripts/kallsyms.c has no "base-relative"'),
        (NEW, "scripts/kallsyms.c", "absolute-percpu", "all", 'scripts/kallsyms.c has no "absolute-percpu"'),
        (NEW, "scripts/mksysmap", "aNUw", "aNUwx", "scripts/mksysmap has no / [aNUw] /d"),
        (
            NEWEST,
            SCRIPT,
            'vmlinux_link "${VMLINUX}"',
            "vmlinux_link vmlinux",
            f'the last link of {SCRIPT} is not "${{V',
        ),
        (NEWEST, "scripts/kallsyms.c", "pc-relative", "all", 'scripts/kallsyms.c has no "pc-relative"'),
        (NEWEST, "scripts/mksysmap", "__mod_device", "__module", "scripts/mksysmap has no / __mod_device_table__/d"),
        (OLD, "kernel/kallsyms_internal.h", "_seqs_of", "", "kallsyms_internal.h has no kallsyms_seqs_of_names"),
        (OLD, "arch/x86/include/asm/paravirt.h", "PARA_SITE", "PARA_SITES", "paravirt.h has 0 lines '#define PARA_"),
        (OLD, ".config", "CONFIG_KALLSYMS=y", "", "expected CONFIG_KALLSYMS=y, found it off"),
        (NEW, ".config", "CONFIG_KALLSYMS_ALL=y\n", "", "expected CONFIG_KALLSYMS_ALL=y, found it off"),
        (OLD, ".config", "CONFIG_X86_NEED_RELOCS=y\n", "", "expected CONFIG_X86_NEED_RELOCS=y, found it off"),
        (OLD, ".config", "CONFIG_X86_64=y", "CONFIG_X86_64=y\nCONFIG_LTO_CLANG=y", "expected CONFIG_LTO_CLANG off"),
    ],
)
def test_a_tree_that_does_not_fit_is_left_alone(
    tree: Path, stage: LinkStage, name: str, old: str, new: str, message: str
) -> None:
    edit(tree / name, (old, new))
    before = state(tree)
    done = buildplug("kbuild", "--paravirt", tree)
    assert done.returncode == 1
    error = one_line(done.stderr)
    assert message in error
    assert str(tree) in error
    assert state(tree) == before


@pytest.mark.parametrize("stage", [NEW, NEWEST])
@pytest.mark.parametrize("typed", [True, False])
def test_the_link_that_pahole_reads_has_empty_tables(tree: Path, stage: LinkStage, typed: bool) -> None:
    """An image of that name that an earlier build has left counts only where this build has made it anew."""
    assert buildplug("kbuild", "--apply", tree).returncode == 0
    (line,) = added(tree, stage, SCRIPT)
    (tree / AUTO).write_text("CONFIG_KALLSYMS=y\n" + "CONFIG_DEBUG_INFO_BTF=y\n" * typed)
    script = f"set -e; cd {tree}; LD=the-linker\n{line}\nis_enabled CONFIG_KALLSYMS || $LD x -o {stage.typed}\n"
    said = tool("sh", "-c", script.replace("-m buildplug ld", "-c 'import sys; print(sys.argv[2:])'"))
    assert said == f"{['--empty=' + stage.typed] * typed + ['x', '-o', stage.typed]}\n"


@pytest.mark.parametrize(
    ("words", "program"),
    [([], "pahole"), (["PAHOLE=./other"], "other"), (["PAHOLE=none", "PAHOLE=./other -V"], "other")],
)
def test_a_missing_pahole_is_said_before_anything_is_built(tree: Path, words: list[str], program: str) -> None:
    with (tree / ".config").open("a") as config:
        config.write("CONFIG_DEBUG_INFO_BTF=y\n")
    path = tree / "path"  # of all programs
    path.mkdir()
    for name in ("make", "cat"):
        (path / name).symlink_to(str(shutil.which(name)))
    before = state(tree)
    command, env = ["kbuild", str(tree), "--", "-s", "config", *words], {"PATH": f"{path}"}
    named = words[-1].partition("=")[2] if words else "pahole"
    assert one_line(buildplug(*command, env=env).stderr) == (
        f"buildplug: {tree}/.config: expected the program {named!r} for CONFIG_DEBUG_INFO_BTF, found none; "
        "install the package pahole, or dwarves, or say PAHOLE= to make"
    )
    assert state(tree) == before
    there = (tree if words else path) / program
    there.write_text("#!/bin/sh\n")
    there.chmod(0o755)
    done = buildplug(*command, env=env)
    assert done.returncode == 0, done.stderr
    assert "CONFIG_DEBUG_INFO_BTF=y" in done.stdout


def test_another_version_with_the_same_link_stage_is_taken(tree: Path, stage: LinkStage) -> None:
    edit(tree / "Makefile", (f"VERSION = {stage.version[0]}", "VERSION = 5"))
    assert buildplug("kbuild", "--apply", tree).returncode == 0
    assert len(added(tree, stage, SCRIPT)) == 1


def test_a_tree_of_no_known_form_is_refused_with_all_that_differs_from_the_nearest(tmp_path: Path) -> None:
    tree = written(tmp_path / "linux", NEW)
    edit(tree / "Makefile", ("PATCHLEVEL = 12", "PATCHLEVEL = 15"))
    edit(tree / SCRIPT, ("vmlinux_link vmlinux", 'vmlinux_link "${VMLINUX}"'))
    (tree / "scripts/kallsyms.c").write_text('{"all-symbols", no_argument, &all_symbols, 1},\n')
    before = state(tree)
    assert one_line(buildplug("kbuild", "--apply", tree).stderr) == (
        f"buildplug: {tree}: expected the link stage of Linux 7.3, found Linux 6.15, where scripts/kallsyms.c has no "
        '"pc-relative", scripts/mksysmap has no / __mod_device_table__/d; build it with its own link stage'
    )
    assert state(tree) == before


def test_a_tree_where_what_our_list_says_has_other_numbers_is_refused(tmp_path: Path) -> None:
    tree = written(tmp_path / "linux", NEW)
    edit(tree / "arch/x86/include/asm/cpufeatures.h", ("8*32+16", "8*32+17"))
    assert buildplug("kbuild", tree).returncode == 0
    error = one_line(buildplug("kbuild", "--paravirt", tree).stderr)
    assert "cpufeatures.h has no X86_FEATURE_XENPV ( 8*32+16); build it with its own link stage" in error


def test_an_architecture_without_paravirt_sites_has_no_option_for_them(tmp_path: Path) -> None:
    tree = written(tmp_path / "linux", NEW)
    (tree / ".config").write_text(options(NEW, "ARM64"))
    before = state(tree)
    assert one_line(buildplug("kbuild", "--paravirt", tree).stderr) == (
        f"buildplug: {tree}/.config: expected CONFIG_X86_64=y, found CONFIG_ARM64=y; leave out --paravirt"
    )
    assert state(tree) == before


def test_what_is_no_tree_is_an_error(tmp_path: Path) -> None:
    for arguments in ([], ["--apply"], ["--revert"]):
        done = buildplug("kbuild", *arguments, tmp_path)
        assert done.returncode == 1
        assert str(tmp_path) in one_line(done.stderr)


def test_a_file_that_cannot_be_read_as_text_is_an_error(tree: Path) -> None:
    (tree / SCRIPT).write_bytes(os.urandom(8) + b"\xff")
    assert "expected UTF-8" in one_line(buildplug("kbuild", "--apply", tree).stderr)
