"""The pipeline as its users meet it: two links, nothing done twice, the same bytes everywhere."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from buildplug.arch.registry import ARCHES
from buildplug.image.elf import Image
from buildplug.pipeline.doit_tasks import PASSES
from tests.samples import SAMPLE, buildplug, built, copy_sample, edit, logging_tool


@pytest.fixture
def log(kernel: Path, tmp_path: Path) -> Path:
    """The kernel's compiler and linker note their runs here."""
    log = tmp_path / "log"
    log.touch()
    cc, ld = (logging_tool(tmp_path / tool, tool, log) for tool in ("gcc", "ld"))
    edit(kernel / "buildplug.toml", ('cc = "gcc"', f'cc = "{cc}"'), ('ld = "ld"', f'ld = "{ld}"'))
    return log


def runs(log: Path, tool: str) -> int:
    """How often a tool ran, --version apart."""
    return sum(line.startswith(f"{tool} ") and "--version" not in line for line in log.read_text().splitlines())


def test_build_links_exactly_twice(kernel: Path, log: Path) -> None:
    assert built(kernel)["links"] == runs(log, "ld") == 2


def test_build_with_nothing_to_do_runs_no_tool(kernel: Path, log: Path) -> None:
    built(kernel)
    log.write_text("")
    before = {p: p.stat().st_mtime_ns for p in (kernel / "build").glob("vmlinux*")}
    built(kernel)
    assert log.read_text() == ""
    assert before == {p: p.stat().st_mtime_ns for p in (kernel / "build").glob("vmlinux*")}


def test_change_of_one_source_compiles_one(kernel: Path, log: Path) -> None:
    built(kernel)
    log.write_text("")
    os.utime(kernel / "main.c")
    built(kernel)
    assert sum("-c main.c" in line for line in log.read_text().splitlines()) == runs(log, "gcc") == 1


def test_change_of_a_header_compiles_what_includes_it(kernel: Path, log: Path) -> None:
    built(kernel)
    log.write_text("")
    os.utime(kernel / "shim.h")
    built(kernel)
    assert "-c shim.c" in log.read_text()
    assert "-c serial.c" not in log.read_text()


def test_change_that_changes_no_code_leaves_the_image_alone(kernel: Path) -> None:
    built(kernel)
    before = (kernel / "build" / "vmlinux").stat().st_mtime_ns
    with (kernel / "serial.c").open("a") as file:
        file.write("/* no code */\n")
    built(kernel)
    assert (kernel / "build" / "vmlinux").stat().st_mtime_ns == before


def test_change_of_the_ops_alone_reaches_the_image(kernel: Path) -> None:
    built(kernel)
    before = (kernel / "build" / "vmlinux").read_bytes()
    edit(
        kernel / "paravirt.toml",
        ('read_cr3 = { inline = "mov %cr3, %{ax}" }', 'read_cr3 = { inline = "nop; mov %cr3, %{ax}" }'),
    )
    built(kernel)
    assert (kernel / "build" / "vmlinux").read_bytes() != before


@pytest.mark.parametrize("where", ["script", "template", "flags"])
def test_change_of_what_is_only_read_on_the_way_reaches_the_image(kernel: Path, where: str) -> None:
    (kernel / "more.lds").write_text("more = 1;\n")
    (kernel / "tables.S.j2").write_text((SAMPLE.parent / "templates/tables/tables.S.j2").read_text())
    edit(kernel / "kernel.lds", ("ENTRY(start)", "ENTRY(start)\nINCLUDE more.lds"))
    before = built(kernel)["outputs"]
    assert "runs" not in buildplug("build", kernel, "--explain").stderr.replace("compile: runs: ninja decides", "")
    if where == "script":
        (kernel / "more.lds").write_text("more = 2;\n")
    elif where == "template":
        edit(kernel / "tables.S.j2", (".balign 8", ".balign 8\n\t.set new, 1"))
    else:
        edit(kernel / "buildplug.toml", ('sources = ["*.[cS]", ', 'sources = ["*.c", "*.S", '), ('"-O2"', '"-Os"'))
    after = built(kernel)["outputs"]
    assert before["vmlinux"] != after["vmlinux"]


def test_image_that_somebody_changed_is_made_anew(kernel: Path) -> None:
    before = built(kernel)["outputs"]
    image = kernel / "build" / "vmlinux"
    image.write_bytes(image.read_bytes() + b"?")
    assert built(kernel)["outputs"] == before


def test_what_a_table_left_goes_with_it(kernel: Path) -> None:
    with (kernel / "buildplug.toml").open("a") as file:
        file.write('[[table]]\nrule = "functions"\n')
    built(kernel)
    assert (kernel / "build" / "gen" / "bp_functions.h").exists()
    edit(kernel / "buildplug.toml", ('[[table]]\nrule = "functions"\n', ""))
    built(kernel)
    assert not list((kernel / "build" / "gen").glob("bp_functions*"))


def test_record_has_every_header_and_included_script(kernel: Path) -> None:
    inputs = built(kernel)["inputs"]
    assert {"kernel.h", "shim.h", "kernel.lds", "buildplug.toml", "paravirt.toml", "x86_64/boot.S"} <= set(inputs)


@pytest.mark.parametrize("name", ["d$x.c", "a b.c", "it's.c", "x:y#z.c", "é.c"])
def test_source_may_have_any_plain_name(kernel: Path, name: str) -> None:
    (kernel / name).write_text("int odd;\n")
    built(kernel)
    assert "odd" in Image(kernel / "build" / "vmlinux").names


def test_compile_commands_list_every_source(kernel: Path) -> None:
    built(kernel)
    commands = json.loads((kernel / "build" / "compile_commands.json").read_text())
    sources = {str(p.relative_to(kernel)) for p in (*kernel.glob("*.[cS]"), *kernel.glob("x86_64/*.[cS]"))}
    assert sources <= {entry["file"] for entry in commands}


def test_launcher_goes_before_the_compiler(kernel: Path, tmp_path: Path) -> None:
    plain = built(kernel)
    edit(kernel / "buildplug.toml", ('cc = "gcc"', 'cc = "gcc"\nlauncher = ["ccache"]'))
    env = {"CCACHE_DIR": str(tmp_path / "ccache")}
    for _ in ("cold", "warm"):
        shutil.rmtree(kernel / "build")  # the same folder again, as generated headers lie in it
        record = built(kernel, env=env)
        assert record["outputs"]["vmlinux"] == plain["outputs"]["vmlinux"]
    statistics = subprocess.run(
        ["ccache", "--print-stats"], env=os.environ | env, capture_output=True, text=True, check=True
    ).stdout
    hits = [int(line.split()[1]) for line in statistics.splitlines() if "cache_hit" in line]
    assert sum(hits) > 20


def test_dodo_file_of_a_user_gets_the_same_tasks(kernel: Path) -> None:
    expected = built(kernel, "--build-dir", kernel.parent / "other")["outputs"]["vmlinux"]
    (kernel / "dodo.py").write_text(
        "from buildplug.pipeline import tasks\n\n\ndef task_kernel():\n    yield from tasks('buildplug.toml')\n"
    )
    doit = [sys.executable, "-m", "doit"]
    subprocess.run([*doit, "record"], cwd=kernel, check=True, capture_output=True)
    assert json.loads((kernel / "build" / "vmlinux.buildplug.json").read_text())["outputs"]["vmlinux"] == expected
    listed = subprocess.run([*doit, "list"], cwd=kernel, check=True, capture_output=True, text=True).stdout
    assert set(PASSES) <= {line.split()[0] for line in listed.splitlines()}


@pytest.mark.parametrize("arch", ARCHES)
def test_build_is_the_same_wherever_and_however_it_runs(tmp_path: Path, arch: str) -> None:
    places = (tmp_path / "a", tmp_path / "b c" / "deeper é")
    worlds = (
        {"LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "1", "HOME": "/"},
        {"LC_ALL": "C.UTF-8", "TZ": "Asia/Kolkata", "PYTHONHASHSEED": "2", "HOME": str(tmp_path)},
    )
    outputs = []
    for place, world, umask, cpus in zip(places, worlds, (0o022, 0o077), ("0", "0,1"), strict=True):
        copy_sample(place)
        words = ("build", place, "--arch", arch, "--build-dir", place / "build")
        subprocess.run(
            ["taskset", "-c", cpus, sys.executable, "-m", "buildplug", *words],
            env=os.environ | world, umask=umask, check=True, timeout=300,
        )  # fmt: skip
        build = place / "build"
        names = ("vmlinux", "vmlinux.draft", "gen/bp_paravirt_table.S", "gen/bp_paravirt.npz")
        outputs.append({name: (build / name).read_bytes() for name in names})
    assert [name for name in outputs[0] if outputs[0][name] != outputs[1][name]] == []
