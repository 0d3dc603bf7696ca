"""The wheel: what ships in it, and that it works without the source tree."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from buildplug.native import loops
from tests.samples import SAMPLE

ROOT = SAMPLE.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the wheel, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    build: list[str | Path] = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def test_wheel_has_templates_rules_and_types(installed: Path) -> None:
    package = installed / "buildplug"
    for folder in ("templates", "rules"):
        shipped, ours = (
            {p.relative_to(f) for p in f.rglob("*") if p.is_file()} for f in (package / folder, ROOT / folder)
        )
        assert shipped == {p for p in ours if p.suffix != ".pyc"}
    assert (package / "py.typed").exists()


def test_wheel_has_the_sources_of_the_sample_kernel(installed: Path) -> None:
    folders = (installed / "buildplug" / "sample_kernel", SAMPLE)
    shipped, ours = ({p.relative_to(folder) for p in folder.rglob("*") if p.is_file()} for folder in folders)
    assert shipped == {p for p in ours if p.suffix not in (".py", ".pyc") and p.parts[0] != "build"}
    assert not (installed / "sample_kernel").exists()


def test_wheel_has_the_compiled_loops(installed: Path) -> None:
    code = "import sys; from buildplug.native import loops; print(loops.COMPILED); sys.exit(not loops.library())"
    env = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd="/", capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_relative_to(installed)
    assert not (installed / "buildplug" / "native" / "hatch_build.py").exists()


def test_wheel_without_a_compiler_is_for_every_machine(tmp_path: Path) -> None:
    env = os.environ | {"CC": "/nonexistent"}
    build: list[str | Path] = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, env=env)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]
    assert loops.library()  # the sources' own stays


def test_installed_files_decide_the_same_as_those_of_the_sources(installed: Path) -> None:
    code = "from buildplug.base import fingerprints; print(fingerprints.own_digest())"
    digests = [
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(path)}, cwd="/", capture_output=True,
            text=True, check=True,
        ).stdout
        for path in (installed, ROOT)
    ]  # fmt: skip
    assert digests[0] == digests[1]


def test_wheel_has_the_licence(installed: Path) -> None:
    assert list(installed.glob("*.dist-info/licenses/LICENSE"))


def test_wheel_makes_and_builds_a_kernel(installed: Path, tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    program = "import buildplug, sys; print(buildplug.__file__); from buildplug.cli.main import main; sys.exit(main())"
    for command in ("new", "build"):
        done = subprocess.run(
            [sys.executable, "-c", program, command, kernel], env=os.environ | {"PYTHONPATH": str(installed)},
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert Path(done.stdout.splitlines()[0]).is_relative_to(installed)
    assert (kernel / "build" / "vmlinux").exists()


def test_command_says_its_version(installed: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "buildplug", "--version"], capture_output=True, text=True, check=True)
    assert f"-{done.stdout.split()[1]}.dist-info" in next(installed.glob("*.dist-info")).name.replace("buildplug", "")
