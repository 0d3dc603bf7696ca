"""The rules for make: when they run buildplug."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from buildplug.base.data import build_system

MAKEFILE = f"""\
include {build_system("buildplug.mk")}
all: $(BUILDPLUG_OBJECTS)
clean:
	rm -rf build
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder whose Makefile includes the rules, and whose `buildplug` notes its calls."""
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "buildplug.toml").write_text('[kernel]\nname = "kernel.elf"\n[[table]]\nrule = "ksyms"\n')
    program = tmp_path / "buildplug"
    program.write_text(f'#!/bin/sh\necho "$1" >>calls\nexec {sys.executable} -m buildplug "$@"\n')
    program.chmod(0o755)
    return tmp_path


def make(project: Path, *words: str) -> list[str]:
    """Runs make; returns the commands of buildplug that it ran."""
    calls = project / "calls"
    calls.unlink(missing_ok=True)
    environment = os.environ | {"PATH": f"{project}:{os.environ['PATH']}"}
    subprocess.run(["make", *words], cwd=project, env=environment, capture_output=True, check=True)
    return calls.read_text().split() if calls.exists() else []


def test_the_runtime_is_written_and_compiled(project: Path) -> None:
    assert make(project) == ["ld", "runtime"]
    assert (project / "build/gen/ksyms.o").exists()


def test_the_second_make_does_not_run_buildplug(project: Path) -> None:
    make(project)
    assert make(project) == []


def test_a_changed_configuration_writes_the_runtime_again(project: Path) -> None:
    make(project)
    with (project / "buildplug.toml").open("a") as file:
        file.write('[[table]]\nrule = "calls"\n')
    assert "runtime" in make(project)
    assert (project / "build/gen/bp_calls.h").exists()


def test_a_generated_file_that_is_gone_is_written_again(project: Path) -> None:
    make(project)
    (project / "build/gen/ksyms.c").unlink()
    (project / "build/gen/ksyms.o").unlink()
    assert make(project) == ["runtime"]
    assert (project / "build/gen/ksyms.o").exists()


def test_cleaning_does_not_run_buildplug(project: Path) -> None:
    assert make(project, "clean") == []


def test_the_default_goal_stays_the_first_of_the_makefile(project: Path) -> None:
    text = (project / "Makefile").read_text()
    (project / "Makefile").write_text(text.replace("all:", "first: all\n\t@touch made\nall:"))
    make(project)
    assert (project / "made").exists()
