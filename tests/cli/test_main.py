"""The command line as a whole: its commands, and what is imported for one of them."""

import subprocess
import sys
from importlib import import_module
from itertools import permutations

import pytest

from buildplug.cli.main import COMMANDS, main
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


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("apply", "image --backend=b -o=made"), ("build", "config --json --explain"), ("doctor", "config --json"),
        ("extract", "image --rule=r --json"), ("kbuild", "tree bzImage --paravirt"), ("kbuild", "tree a b --apply"),
        ("ksyms", "image name --demangle"), ("ksyms", "image a b --format=json"), ("new", "folder --rust --full"),
        ("path", "make"), ("report", "one two --json"), ("repro", "project --vary=-all --json"),
        ("rules", "show ksyms --toml"), ("runtime", "folder --config=c --language=rust"),
        ("schema", "ops --markdown"), ("verify", "draft final --rule=r --json"),
    ],
)  # fmt: skip
def test_options_stand_in_any_order_among_the_other_words(
    command: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[dict[str, object]] = []
    monkeypatch.setattr(f"buildplug.cli.{command}.run", lambda options: taken.append(dict(vars(options))))
    plain = [word for word in words.split() if not word.startswith("-")]
    orders = [order for order in permutations(words.split()) if [word for word in order if word in plain] == plain]
    assert [main([command, *order]) for order in orders] == [0] * len(orders)
    assert taken == taken[:1] * len(orders)


def test_only_the_unknown_option_is_called_unknown() -> None:
    done = buildplug("ksyms", "image", "--dmangle", "name", "--sizes", "other")
    assert done.returncode == 2
    assert done.stderr.endswith("error: unrecognized arguments: --dmangle\n")


def test_words_after_two_dashes_are_no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[list[str]] = []
    monkeypatch.setattr("buildplug.cli.ksyms.run", lambda options: taken.append(options.query))
    assert main(["ksyms", "image", "--demangle", "a", "--", "-b", "--sizes"]) == 0
    assert taken == [["a", "-b", "--sizes"]]
