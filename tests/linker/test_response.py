"""Response files: the words that each linker reads in them."""

import os
import re
import subprocess
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildplug.linker.command_line import parse
from buildplug.linker.response import QUOTINGS, finds_version, text_of
from tests.conftest import tool


@given(st.lists(st.text(alphabet="ab\\ '\"\n\t=,ü%$@`", max_size=8).filter(lambda word: word[:1] not in ("@", "-"))))
def test_words_go_through_a_response_file(words: list[str]) -> None:
    for quoting in QUOTINGS:
        assert quoting.words(text_of(words)) == words


def inputs(linker: str, folder: Path) -> list[str]:
    """What the linker takes for its inputs with the response file `words`: what it cannot find, in rounds, as some say
    only the first."""
    (folder / "empty.S").touch()
    tool("gcc", "-c", "empty.S", cwd=folder)
    command = [linker, "-m", "elf_x86_64", "-r", "@words", "-o", "out"]
    found: list[str] = []
    while True:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        missing = re.findall(r"cannot (?:find|open):? (.*?): No such file", done.stderr, re.DOTALL)
        found += missing
        for name in missing:
            (folder / name).hardlink_to(folder / "empty.o")
        if not missing:
            assert done.returncode == 0, done.stderr
            return found


WORDS = r"""a'b\'c' d' "e\f\"g" h\ i 'it'"'s" \\ '\j' \\'k\\l' "m\$n\`o\'p" q'r "s t"'u v' w"""


LINES = "a\\\nb 'c\\\nd' \"e\\\nf\" g\vh\fi\rj"


@pytest.mark.parametrize(
    ("linker", "text"),
    [
        *product(["ld", "ld.lld", "mold"], [WORDS, LINES]),
        *product(["ld", "ld.lld"], ["a'b c", "a\\", "'a\\", '"a\\']),  # mold wants the quotes closed
    ],
)
def test_words_of_a_response_file_are_those_of_the_linker(tmp_path: Path, linker: str, text: str) -> None:
    (tmp_path / "words").write_text(text)
    line = parse([f"@{tmp_path / 'words'}"], partial(finds_version, linker, os.environ))
    assert line.inputs == inputs(linker, tmp_path) != []


def test_linker_is_asked_only_if_linkers_read_a_response_file_otherwise(tmp_path: Path) -> None:
    asked: list[str] = []

    def finds_none(text: str) -> bool:
        asked.append(text)
        return False

    for text, times in ((r"a 'b c' d\ e \"f", 0), (r"'a\b'", 3)):
        (tmp_path / "words").write_text(text)
        parse([f"@{tmp_path / 'words'}"], finds_none)
        assert len(asked) == times
