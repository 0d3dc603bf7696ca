"""`buildplug new` and `buildplug runtime`: kernels that did not start with buildplug, or start now."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from buildplug.cli.new import PARTS
from sample_kernel.boot import EXIT_OK
from tests.conftest import tool
from tests.samples import SAMPLE, buildplug, built, copy_sample, edit, one_line


def test_a_full_kernel_builds_and_boots_by_the_commands_that_it_came_with(tmp_path: Path) -> None:
    done = buildplug("new", "a kernel", "--full", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    build, boot = (line.strip() for line in done.stdout.splitlines()[1:])
    program = f"{sys.executable} -m buildplug"
    run = build.replace("buildplug", program, 1)
    subprocess.run(
        ["sh", "-c", run], cwd=tmp_path, check=True, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SAMPLE.parent)}
    )
    said = subprocess.run(["sh", "-c", boot], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=120)
    assert said.returncode == EXIT_OK, said.stdout + said.stderr
    assert said.stdout.endswith("0 failed\n")


@pytest.mark.parametrize("tools", ["as it comes", "clang+ld.lld"])
@pytest.mark.parametrize("arch", sorted(PARTS))
def test_a_new_kernel_panics_with_a_backtrace_of_its_symbols(tmp_path: Path, arch: str, tools: str) -> None:
    kernel = tmp_path / "a kernel"
    done = buildplug("new", "a kernel", "--arch", arch, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(kernel.iterdir())) in range(8, 13)
    if tools != "as it comes":
        cc, ld = tools.split("+")
        linker = "ld" if arch in ("x86_64", "i386") else f"{arch}-linux-gnu-ld"
        edit(kernel / "buildplug.toml", ('cc = "gcc"', f'cc = "{cc}"'), (f'ld = "{linker}"', f'ld = "{ld}"'))
    command = done.stdout.splitlines()[1].replace("make", f"make -s BUILDPLUG='{sys.executable} -m buildplug'")
    said = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    lines = said.stdout.partition("panic: no disk\n")[2].splitlines()
    trace = [re.fullmatch(r"  (\w+)\+(0x\w+)/(0x\w+)", line) for line in lines]
    names = ["find_disk", "start_drivers", "main", "long_mode" if arch == "x86_64" else "start"]
    assert [one and one[1] for one in trace] == names
    listed = [line.split() for line in tool("nm", "-S", kernel / "build" / "vmlinux").splitlines()]
    sizes = {words[3]: int(words[1], 16) for words in listed if len(words) == 4}
    assert all(one and int(one[2], 16) < int(one[3], 16) == sizes[one[1]] for one in trace)


def test_a_full_kernel_is_for_all_architectures(tmp_path: Path) -> None:
    assert buildplug("new", tmp_path / "kernel", "--full", "--arch", "i386").returncode == 2


def test_a_full_kernel_is_the_sample_kernel_for_every_architecture(tmp_path: Path) -> None:
    buildplug("new", tmp_path / "new", "--full")
    copy = copy_sample(tmp_path / "copy")
    made, ours = (
        {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for folder in (tmp_path / "new", copy)
    )
    assert made == ours
    assert Path("i386/boot.S") in made


def test_a_full_kernel_has_comments_in_its_configuration(tmp_path: Path) -> None:
    buildplug("new", tmp_path / "kernel", "--full")
    for name in ("buildplug.toml", "paravirt.toml"):
        assert "#" in (tmp_path / "kernel" / name).read_text()


@pytest.mark.parametrize("found", ["files", "a file"])
def test_a_folder_with_files_is_left_alone(tmp_path: Path, found: str) -> None:
    kernel = tmp_path / "kernel"
    (kernel if found == "files" else tmp_path).joinpath("main.c").parent.mkdir(exist_ok=True)
    mine = kernel / "main.c" if found == "files" else kernel
    mine.write_text("mine")
    failed = buildplug("new", kernel)
    assert failed.returncode == 1
    one_line(failed.stderr)
    assert mine.read_text() == "mine"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [mine]


def test_the_runtime_is_what_a_build_compiles(tmp_path: Path) -> None:
    kernel = copy_sample(tmp_path / "kernel")
    built(kernel)
    done = buildplug("runtime", tmp_path / "runtime", "--config", kernel)
    assert done.stdout.split() == [str(path) for path in map(Path, done.stdout.split())]
    named = {Path(name) for name in done.stdout.splitlines()}
    assert named == set((tmp_path / "runtime").iterdir())
    for path in named:
        assert path.read_text() == (kernel / "build" / "gen" / path.name).read_text()


def test_the_runtime_is_written_only_where_it_changes(tmp_path: Path) -> None:
    kernel = copy_sample(tmp_path / "kernel")
    words = ("runtime", tmp_path / "runtime", "--config", kernel)
    buildplug(*words)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runtime").iterdir()}
    with (kernel / "paravirt.toml").open("a") as file:
        file.write("# a comment\n")
    buildplug(*words)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runtime").iterdir()} == before


def test_the_depfile_of_the_runtime_names_what_says_what_the_tables_are(tmp_path: Path) -> None:
    kernel = copy_sample(tmp_path / "a kernel")
    buildplug("runtime", "gen", "--config", kernel, "--depfile", "d", cwd=tmp_path)
    (tmp_path / "Makefile").write_text("include d\n$(firstword $(MAKECMDGOALS)): ; @echo $^\n")
    said = subprocess.run(
        ["make", "-sB", "gen/fixup.c"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert said.split() == f"{kernel}/buildplug.toml {kernel}/paravirt.toml".split()


def test_in_rust_are_tables_of_symbols_and_plain_ones_and_the_others_are_in_c(tmp_path: Path) -> None:
    kernel = copy_sample(tmp_path / "kernel")
    names = {}
    for language in "c", "rust":
        done = buildplug("runtime", tmp_path / language, "--config", kernel, "--language", language)
        names[language] = {Path(name).name for name in done.stdout.splitlines()}
    assert names["c"] - names["rust"] >= {"ksyms.c", "ksyms.h", "bp_ksyms.h"}
    assert "relocs.c" in names["c"] & names["rust"]
    modules = ("calls", "exports", "extable", "ksyms", "paravirt", "retpolines", "static_calls")
    assert names["rust"] - names["c"] == {f"bp_{name}.rs" for name in modules}


def test_a_makefile_compiles_no_module_of_rust(tmp_path: Path) -> None:
    kernel = copy_sample(tmp_path / "kernel")
    buildplug("runtime", "gen", "--config", kernel, "--language", "rust", "--makefile", "m", cwd=tmp_path)
    assert "relocs.o" in (text := (tmp_path / "m").read_text())
    assert "bp_ksyms." not in text.replace("ksyms.rs.j2", "")
