"""`buildplug doctor`, on machines that lack something."""

import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from buildplug.cli import doctor
from buildplug.cli.doctor import QEMU
from tests.samples import SAMPLE, buildplug, one_line


def findings(*words: str | Path, **options: Any) -> dict[str, dict[str, Any]]:
    """Tool -> what the command says of it."""
    done = buildplug("doctor", "--json", *words, **options)
    assert done.returncode in (0, 1), done.stderr
    return {finding["tool"]: finding for finding in json.loads(done.stdout)}


def config(folder: Path, **tools: str) -> Path:
    lines = [f"{key} = {json.dumps(value)}" for key, value in tools.items()]
    (folder / "buildplug.toml").write_text("\n".join(["[toolchain]", *lines, "[link]", 'script = "kernel.lds"']))
    return folder


def test_this_machine_will_do() -> None:
    done = buildplug("doctor", SAMPLE)
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"ok"}


@pytest.mark.parametrize("key", ["cc", "ld"])
def test_a_missing_tool_comes_with_the_command_that_installs_it(tmp_path: Path, key: str) -> None:
    tool = {"cc": "gcc-99", "ld": "ld.lld-99"}[key]
    done = buildplug("doctor", config(tmp_path, **{key: tool}))
    assert done.returncode == 1
    package = {"cc": "gcc-99", "ld": "lld-99"}[key]
    assert one_line(done.stderr) == f"buildplug: doctor: {tool} cannot be used; apt-get install {package}"


def test_loops_that_are_not_compiled_are_optional(tmp_path: Path) -> None:
    found = findings(cwd=tmp_path, env={"BUILDPLUG_PURE": "1"})["loops in C"]
    assert (found["found"], found["problem"], found["needed"]) == ("", "cannot be loaded", False)


def test_what_is_only_for_the_sample_kernel_is_no_error(tmp_path: Path) -> None:
    for tool in ("gcc", "ld", "as"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    (tmp_path / "cc").symlink_to("gcc")
    done = buildplug("doctor", cwd=tmp_path, env={"PATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if QEMU["x86_64"] in line)
    assert line.startswith("optional")
    assert line.endswith("is missing; apt-get install qemu-system-x86")


@pytest.mark.parametrize(("names", "problem"), [(["xen-4.9-amd64.gz", "xen-4.20-amd64.gz"], ""), ([], "is missing")])
def test_the_newest_xen_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], problem: str
) -> None:
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.setattr(doctor, "XEN", (tmp_path, *doctor.XEN[1:]))
    (found,) = [finding for finding in doctor.examine(None) if finding.tool == "xen"]
    assert (found.found, found.problem) == (str(tmp_path / names[-1]) if names else "", problem)
    assert not found.needed
    assert found.remedy.startswith("apt-get install xen-hypervisor-") == bool(problem)


@pytest.mark.parametrize("arch", QEMU)
def test_a_new_kernel_names_the_emulator_that_boots_it(tmp_path: Path, arch: str) -> None:
    buildplug("new", tmp_path / "kernel", "--arch", arch)
    emulators = {tool for tool in findings(tmp_path / "kernel") if tool.startswith("qemu")}
    assert emulators == {QEMU[arch]}
    makefile = (tmp_path / "kernel" / "machine.mk").read_text()
    assert f"QEMU ?= {QEMU[arch]}\n" in makefile


@pytest.mark.parametrize("said", ["rustc 1.63.0", ""])
def test_rustc_is_named_with_its_version_if_there_is_one(tmp_path: Path, said: str) -> None:
    if said:
        (tmp_path / "rustc").write_text(f"#!/bin/sh\necho {said}\n")
        (tmp_path / "rustc").chmod(0o755)
    for tool in ("cc", "ld", "as"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    found = findings(cwd=tmp_path, env={"PATH": str(tmp_path)})
    assert [finding["found"] for tool, finding in found.items() if tool == "rustc"] == [said][: len(said)]


@pytest.mark.parametrize("ld", ["ld.gold", "mold"])
def test_a_linker_that_takes_no_scripts_is_told_apart(tmp_path: Path, ld: str) -> None:
    found = findings(config(tmp_path, ld=ld))[ld]
    assert found["problem"].startswith("does not take what a build needs: ")
    assert found["remedy"] == "use GNU ld or lld: apt-get install binutils"


def test_a_linker_that_is_too_old_is_found_by_trying_it(tmp_path: Path) -> None:
    (tmp_path / "ld.old").write_text(
        """#!/bin/sh
case "$*" in
*--version) echo "GNU ld 2.30" ;;
*--dependency-file*) echo "ld.old: error: unrecognized option '--dependency-file'"; exit 1 ;;
*) exec ld "$@" ;;
esac
"""
    )
    (tmp_path / "ld.old").chmod(0o755)
    (found,) = [f for tool, f in findings(config(tmp_path, ld=str(tmp_path / "ld.old"))).items() if "ld.old" in tool]
    assert found["found"] == "GNU ld 2.30"
    assert "unrecognized option '--dependency-file'" in found["problem"]


def test_an_old_python_package_comes_with_the_command_that_replaces_it(tmp_path: Path) -> None:
    (tmp_path / "numpy-1.2.dist-info").mkdir()
    (tmp_path / "numpy-1.2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.2\n")
    path = os.pathsep.join([str(tmp_path), str(SAMPLE.parent)])
    found = findings(cwd=tmp_path, env={"PYTHONPATH": path})["numpy"]
    assert (found["found"], found["needed"]) == ("1.2", True)
    assert shlex.split(found["remedy"])[:4] == [sys.executable, "-m", "pip", "install"]


def test_a_configuration_that_does_not_parse_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "buildplug.toml").write_text("[")
    assert "expected TOML" in one_line(buildplug("doctor", tmp_path).stderr)
