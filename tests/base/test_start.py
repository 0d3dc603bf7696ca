"""How the shell starts the program."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from buildplug.base.start import HUGE_PAGES
from tests.samples import SAMPLE

PROGRAM = SAMPLE.parent / "buildplug" / "bin" / "buildplug"
HUGE = "glibc.malloc.hugetlb=1"


def said(script: str, users: str | None) -> str:
    """What a program sees of GLIBC_TUNABLES."""
    env = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    env |= {} if users is None else {"GLIBC_TUNABLES": users}
    return subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("users", "all_"), [(None, HUGE), ("", HUGE), ("glibc.malloc.hugetlb=0", f"{HUGE}:glibc.malloc.hugetlb=0")]
)
def test_what_the_user_tunes_comes_last(tmp_path: Path, users: str | None, all_: str) -> None:
    shutil.copy(PROGRAM, tmp_path / "buildplug")
    (tmp_path / "buildplug-start").write_text('#!/bin/sh\nprintf %s "$GLIBC_TUNABLES"\n')
    (tmp_path / "buildplug-start").chmod(0o755)
    program = shlex.quote(str(tmp_path / "buildplug"))
    assert said(program, users) == said(f"{HUGE_PAGES} sh -c 'printf %s \"$GLIBC_TUNABLES\"'", users) == all_
