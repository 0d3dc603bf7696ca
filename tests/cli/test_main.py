"""The command line as a whole: its commands, and what is imported for one of them."""

import subprocess
import sys
from importlib import import_module

import pytest

from buildplug.cli.main import COMMANDS
from tests.samples import buildplug


def imported(*words: str) -> set[str]:
    """The modules that a run of a command imports."""
    program = "import sys; from buildplug.cli.main import main; main(sys.argv[1:]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"ld"}))
def test_command_is_a_module_with_its_arguments_beside_its_function(name: str) -> None:
    command = import_module(f"buildplug.cli.{name}")
    assert callable(command.arguments)
    assert callable(command.run)


def test_help_lists_every_command() -> None:
    lines = buildplug("--help").stdout.splitlines()
    assert {line.split()[0] for line in lines if line.startswith("    ") and line[4] != " "} == set(COMMANDS)


def test_unknown_command_is_wrong_usage() -> None:
    done = buildplug("lint")
    assert done.returncode == 2
    assert "invalid choice: 'lint'" in done.stderr


def test_only_the_command_that_is_called_is_imported() -> None:
    modules = imported("path", "make")
    assert {name for name in modules if name.startswith("buildplug.cli.")} == {
        "buildplug.cli.main", "buildplug.cli.path",
    }  # fmt: skip
    assert not modules & {"numpy", "jinja2"}
