"""`buildplug doctor` finds images that a build linked without us."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import tool
from tests.samples import buildplug, one_line

PROGRAM = "extern const char bp_ksyms[] __attribute__((weak)); int main(void) { return !bp_ksyms; }"
CONFIG = '[kernel]\nname = "prog"\n[[table]]\nrule = "ksyms"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "main.c").write_text(PROGRAM)
    (tmp_path / "buildplug.toml").write_text(CONFIG)
    (tmp_path / "out").mkdir()
    return tmp_path


@pytest.mark.parametrize("output", ["prog", "out/prog"])
def test_image_without_its_tables_is_found(project: Path, output: str) -> None:
    tool("gcc", "main.c", "-o", output, cwd=project)
    done = buildplug("doctor", cwd=project)
    assert done.returncode == 1
    assert f"{output} cannot be used; it was linked without buildplug" in one_line(done.stderr)
    assert "expected the section .bp_ksyms, found none" in done.stdout
    assert "-B DIR" in done.stdout


def test_image_with_its_tables_is_no_finding(project: Path) -> None:
    assert buildplug("ld", "--into", "bin", cwd=project).returncode == 0
    tool("gcc", "-Bbin", "main.c", "-o", "out/prog", cwd=project)
    assert subprocess.run([project / "out" / "prog"], check=False).returncode == 0
    assert buildplug("doctor", cwd=project).returncode == 0


def test_image_of_another_architecture_needs_the_tables_of_that(project: Path) -> None:
    (project / "buildplug.toml").write_text('[kernel]\nname = "prog"\n[[arch.x86_64.table]]\nrule = "ksyms"\n')
    tool(
        "gcc", "-m32", "-nostdlib", "-static", "-Wl,-e,main", "-Wl,--build-id=none", "main.c", "-o", "prog", cwd=project
    )
    assert buildplug("doctor", cwd=project).returncode == 0
    with (project / "buildplug.toml").open("a") as file:
        file.write('[[arch.i386.table]]\nrule = "ksyms"\n')
    assert "prog cannot be used" in one_line(buildplug("doctor", cwd=project).stderr)


def test_file_that_is_no_image_is_no_finding(project: Path) -> None:
    (project / "prog").write_text("a script")
    tool("gcc", "-s", "main.c", "-o", "out/prog", cwd=project)  # what it has, or had, cannot be known
    assert buildplug("doctor", cwd=project).returncode == 0
