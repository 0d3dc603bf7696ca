"""Command lines of linkers: what is read of them."""

import os
import re
import subprocess
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildplug.ld.wrapper import finds_version
from buildplug.linker.command_line import QUOTINGS, parse, response
from tests.conftest import tool


@pytest.mark.parametrize(
    "words",
    [
        "-o vmlinux a.o", "-ovmlinux a.o", "--output=vmlinux a.o", "--output vmlinux a.o", "-output=vmlinux a.o",
        "-o other a.o -o vmlinux", "-o -r -o vmlinux a.o", "-T -shared -o vmlinux a.o",
        "-z defs -m elf_x86_64 -e -r -o vmlinux a.o", "-plugin-opt -r -o vmlinux a.o", "-omagic -o vmlinux a.o",
        "-Map -r -o vmlinux a.o", "-dynamic-linker --version -o vmlinux a.o", "-soname -shared -o vmlinux a.o",
        "-v -o vmlinux a.o", "--defsym a=b -u -shared -o vmlinux -la", "-Ttext -r -o vmlinux a.o",
    ],
)  # fmt: skip
def test_final_links_and_their_output(words: str) -> None:
    line = parse(words.split())
    assert line.is_final
    assert line.output == Path("vmlinux")


@pytest.mark.parametrize(
    "words",
    [
        "-r a.o -o vmlinux", "-i a.o", "-Ur a.o", "--relocatable a.o", "-relocatable a.o", "-shared a.o",
        "--shared a.o", "-Bshareable a.o", "-v", "-o vmlinux", "--version a.o", "--help a.o", "", "-T a.lds", "-V",
    ],
)  # fmt: skip
def test_other_links(words: str) -> None:
    assert not parse(words.split()).is_final


@pytest.mark.parametrize(
    "words", ["-Tx", "-T x", "--script=x", "-script x", "--script x", "-dT x", "--default-script=x"]
)
def test_scripts(words: str) -> None:
    assert parse([*words.split(), "a.o"]).options["script"] == "x"
    assert parse([*words.split(), "a.o"]).inputs == ["a.o"]


@pytest.mark.parametrize("words", ["-Ttext=0", "-Ttext 0", "--Tbss=0", "-Ttext-segment 0", "-Trodata-segment=0"])
def test_addresses_are_no_scripts(words: str) -> None:
    assert "script" not in parse([*words.split(), "a.o"])


@pytest.mark.parametrize("words", ["-q", "--emit-relocs", "-emit-relocs"])
def test_emitted_relocations(words: str) -> None:
    assert "emit-relocs" in parse([words, "a.o"])


@pytest.mark.parametrize(
    ("value", "path"),
    [("map", "map"), ("%", "out/x.map"), ("a%b%", "aout/xb%"), ("%.txt", "out/x.txt"), ("maps", "maps/x.map"),
     ("-", None)],
)  # fmt: skip
def test_map_goes_where_gnu_ld_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, path: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maps").mkdir()
    line = parse(["a.o", "-o", "out/x", f"-Map={value}"])
    assert line.map(expands=True) == (Path(path) if path else None)


def test_map_of_lld_is_as_it_is_named() -> None:
    assert parse(["a.o", "-Map=a%.map"]).map(expands=False) == Path("a%.map")


def test_response_files_are_read_also_in_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one").write_text("-o 'v m' \"@t w o\"\n@missing")
    (tmp_path / "t w o").write_text("a\\ b.o\n\n-shared")
    line = parse(["@one"])
    assert line.output == Path("v m")
    assert line.inputs == ["a b.o", "@missing"]
    assert "shared" in line


@pytest.mark.parametrize(
    "text", ["@self", "'unclosed", "\"a'\\", "\\", "\0", "@/dev/null @.", "\udcff".encode(errors="surrogateescape")]
)
def test_response_file_of_any_bytes_is_read_or_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "self").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert parse(["@self", "a.o"]).inputs[-1] == "a.o"


@pytest.mark.parametrize("word", ["-o", "-T", "-Map", "--output", "-z", "-", "--", "---", "", "@", "-l"])
def test_command_line_that_ends_early_is_read(word: str) -> None:
    assert parse(["a.o", word]).inputs[0] == "a.o"


@given(st.lists(st.text(alphabet="ab\\ '\"\n\t=,ü%$@`", max_size=8).filter(lambda word: word[:1] not in ("@", "-"))))
def test_words_go_through_a_response_file(words: list[str]) -> None:
    for quoting in QUOTINGS:
        assert quoting.words(response(words)) == words


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
