"""Builds for machines that only tables of symbols are made for."""

import json
import shutil
from pathlib import Path

import pytest

from buildplug.cli.doctor import examine
from buildplug.stage.passes import FITS
from tests.machines import BY_NAME, Machine, project, project_with_tables
from tests.samples import buildplug, built, edit, one_line

FEW = ("thumb", "aarch64_be", "riscv32", "ppc64", "s390x", "mips", "loongarch64")


@pytest.fixture(params=FEW)
def machine(request: pytest.FixtureRequest) -> Machine:
    return BY_NAME[request.param]


def test_image_does_not_depend_on_its_folder(machine: Machine, tmp_path: Path) -> None:
    folders = [project_with_tables(machine, tmp_path / name, machine.linkers[-1]) for name in ("a", "other")]
    outputs = [built(folder)["outputs"]["vmlinux"] for folder in folders]
    assert outputs[0] == outputs[1]


def test_after_a_change_one_link_makes_the_same_image(machine: Machine, tmp_path: Path) -> None:
    folder = project_with_tables(machine, tmp_path / "kernel", machine.linkers[0])
    edit(folder / "buildplug.toml", ('flags = ["-m"', 'flags = ["--build-id=sha1", "-m"'))
    edit(folder / "kernel.lds", (".bss :", ".note.gnu.build-id : { *(.note.gnu.build-id) }\n    .bss :"))
    built(folder)
    edit(folder / "extra.c", ("count = 3", "count = 4"), ("twice", "thrice"))
    changed = built(folder)
    assert (changed["links"], changed["why"]) == (1, FITS)
    shutil.rmtree(folder / "build")
    assert built(folder)["outputs"]["vmlinux"] == changed["outputs"]["vmlinux"]


@pytest.mark.parametrize("which", [0, -1])
def test_without_a_script_tables_are_filled_in(machine: Machine, tmp_path: Path, which: int) -> None:
    folder = project_with_tables(machine, tmp_path / "kernel", machine.linkers[which])
    edit(folder / "buildplug.toml", ('script = "kernel.lds"\n', ""))
    record = built(folder)
    assert record["links"] == 1 or set(record["rewritten"]) == {"ksyms", "own", "functions"}
    images = [folder / "build" / name for name in ("vmlinux.draft", "vmlinux")]
    assert buildplug("verify", *images, "--config", folder).returncode == 0


@pytest.mark.parametrize("name", ["arm", "aarch64", "riscv64", "ppc64le"])
@pytest.mark.parametrize("which", [0, -1])
def test_tables_of_a_position_independent_image_are_true(tmp_path: Path, name: str, which: int) -> None:
    machine = BY_NAME[name]
    folder = project_with_tables(machine, tmp_path / "kernel", machine.linkers[which])
    edit(
        folder / "buildplug.toml", ('flags = ["-m"', 'flags = ["-pie", "-z", "notext", "-m"'), ('"-fno-pic"', '"-fpie"')
    )
    assert set(built(folder)["tables"]) == {"ksyms", "own", "functions"}
    images = [folder / "build" / name for name in ("vmlinux.draft", "vmlinux")]
    assert buildplug("verify", *images, "--config", folder).returncode == 0


@pytest.mark.parametrize("name", ["riscv64", "riscv32", "loongarch64"])
@pytest.mark.parametrize("which", [0, -1])
def test_linker_may_relax(tmp_path: Path, name: str, which: int) -> None:
    machine = BY_NAME[name]
    folder = project_with_tables(machine, tmp_path / "kernel", machine.linkers[which])
    edit(folder / "buildplug.toml", ('"-mno-relax", ', ""))
    assert set(built(folder)["tables"]) == {"ksyms", "own", "functions"}


CHANGING = ("paravirt", "relocs", "static_calls", "linux-kallsyms")  # rules that change code, slide it, or are Linux's
REFUSED = [("riscv32", rule) for rule in (*CHANGING, "calls", "exports", "extable")]


@pytest.mark.parametrize(("name", "rule"), REFUSED)
def test_what_a_machine_cannot_have_is_refused_by_name(tmp_path: Path, name: str, rule: str) -> None:
    machine = BY_NAME[name]
    project(machine, tmp_path, machine.linkers[0], f'[[table]]\nrule = "{rule}"\n')
    message = one_line(buildplug("build", tmp_path).stderr)
    assert f"rule {rule}: expected " in message
    assert name in message
    assert "ksyms" in message


def test_rules_of_linux_are_refused_by_name_where_its_kallsyms_are_not_known(tmp_path: Path) -> None:
    machine = BY_NAME["s390x"]
    project(machine, tmp_path, machine.linkers[0], '[[table]]\nrule = "linux-kallsyms"\n')
    message = one_line(buildplug("build", tmp_path).stderr)
    assert (
        "rule linux-kallsyms: expected a machine whose kallsyms are known, found s390x; use the rule ksyms" in message
    )


def test_image_of_another_machine_than_the_configuration_says_is_refused(tmp_path: Path) -> None:
    machine = BY_NAME["riscv64"]
    edit(project(machine, tmp_path, machine.linkers[0]) / "buildplug.toml", ('"riscv64"', '"x86_64"'))
    message = one_line(buildplug("build", tmp_path).stderr)
    assert "expected an image for x86_64, found one for riscv64; name its architecture in [kernel]" in message


def test_wrapped_linker_makes_a_true_table(machine: Machine, tmp_path: Path) -> None:
    folder = project_with_tables(machine, tmp_path / "kernel", machine.linkers[0])
    built(folder)
    objects = sorted(path for path in (folder / "build" / "obj").rglob("*.o") if "build/gen/bp_" not in str(path))
    words: list[str | Path] = ["-m", machine.emulation, *machine.link, "-T", folder / "kernel.lds", *objects]
    words += ["-o", tmp_path / "vmlinux"]
    done = buildplug("ld", "--config", folder, "--ld", machine.linkers[0], *words)
    assert done.returncode == 0, done.stderr
    verified = buildplug("verify", tmp_path / "vmlinux", tmp_path / "vmlinux", "--config", folder, "--json")
    assert json.loads(verified.stdout)["tables"]["ksyms"]["differences"] == []


def test_doctor_tries_the_tools_for_the_machine(machine: Machine, tmp_path: Path) -> None:
    for linker in machine.linkers:
        project(machine, tmp_path, linker)
        assert not [finding.problem for finding in examine(tmp_path) if finding.problem and finding.needed]
