"""Where the wrapper looks for its configuration, and what it says of itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from buildplug.ld import wrapper
from tests.ld.programs import INPUTS, finds_its_functions, ld
from tests.samples import buildplug, one_line


def test_wrapper_that_is_its_own_linker_is_refused(work: Path) -> None:
    itself = Path(sys.executable).with_name("buildplug-ld")
    failed = ld(work, "--version", linker=str(itself), env={"BUILDPLUG_CONFIG": "buildplug.toml"})
    assert "this wrapper again" in failed.stderr


def test_configuration_lies_beside_the_program(work: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (work / "our-ld").symlink_to(Path(sys.executable).with_name("buildplug-ld"))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([work / "our-ld", *(work / name for name in INPUTS), "-o", "prog"], cwd=elsewhere, check=True)
    assert finds_its_functions(elsewhere / "prog")


PLACES = ("option", "environment", "beside", "output", "here", "parent")


@pytest.mark.parametrize("first", PLACES)
def test_configuration_is_the_first_of_where_it_is_looked_for(tmp_path: Path, first: str) -> None:
    """Each place has one that says another linker; those before `first` have none."""
    folders = {name: tmp_path / name for name in ("option", "environment", "beside", "output")}
    folders |= {"here": tmp_path / "parent" / "here", "parent": tmp_path / "parent"}
    for name, folder in folders.items():
        folder.mkdir(exist_ok=True, parents=True)
        if PLACES.index(name) >= PLACES.index(first):
            text = f'[kernel]\nname = "k"\n[toolchain]\nld = "no-such-{name}"\n'
            (folder / "buildplug.toml").write_text(text)
    words = ["--config", str(folders["option"])] if first == "option" else []
    env = {"BUILDPLUG_CONFIG": str(folders["environment"])} if first in PLACES[:2] else {}
    (folders["beside"] / "our-ld").symlink_to(Path(sys.executable).with_name("buildplug-ld"))
    done = subprocess.run(
        [folders["beside"] / "our-ld", *words, "a.o", "-o", "../../output/x"], cwd=folders["here"],
        env=os.environ | env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f"no-such-{first}: cannot be run" in one_line(done.stderr)


def test_configuration_that_is_nowhere_is_wrong_usage(tmp_path: Path) -> None:
    lost = buildplug("ld", "--version", cwd=tmp_path)
    assert lost.returncode == 2
    assert "expected a configuration, found none" in one_line(lost.stderr)


def test_help_is_ours_and_says_every_option_and_variable(tmp_path: Path) -> None:
    done = buildplug("ld", "--help", cwd=tmp_path)
    assert done.returncode == 0
    known = {f"--{name}" for name in (*wrapper.VALUED, "keep")} | {"BUILDPLUG_CONFIG", "BUILDPLUG_LD", "BUILDPLUG_KEEP"}
    assert known | {wrapper.INSIDE} <= set(re.findall(r"--[\w-]+|BUILDPLUG_\w+", done.stdout))
