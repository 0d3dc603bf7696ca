"""The names of variations mean what reprotest takes them for."""

import json
from pathlib import Path

import pytest

from buildplug.repro.settings import Workspace
from buildplug.repro.vary import chosen
from tests.conftest import tool

THEIRS = """
import json, sys
from reprotest.build import VariationSpec
print(json.dumps(sorted(VariationSpec().extend(["+all", *sys.argv[1:]]).variations())))
"""


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize(
    "specs",
    [
        [], ["build_path,timezone,-num_cpus"], ["-all,time"], ["-all", "+time,home", "-time"], ["@time"],
        ["-time,@time"], ["-home", "home"], ["-all,@all,-umask"], ["-all"],
    ],
)  # fmt: skip
def test_words_choose_as_reprotest_has_them_choose(tmp_path: Path, specs: list[str]) -> None:
    ours = {variation.name for variation in chosen(specs, Workspace(tmp_path, 0, True, {}))[0]}
    # Debian's reprotest is a module of the system's Python; what it has not are variations of our own.
    every, theirs = (set(json.loads(tool("/usr/bin/python3", "-c", THEIRS, *words))) for words in ([], specs))
    assert theirs == ours & every
    assert len(every) == 14
