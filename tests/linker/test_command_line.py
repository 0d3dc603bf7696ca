"""Command lines of linkers: what is read of them."""

from pathlib import Path

import pytest

from buildplug.linker.command_line import parse


@pytest.mark.parametrize(
    "words",
    [
        "-o vmlinux a.o", "-ovmlinux a.o", "--output=vmlinux a.o", "--output vmlinux a.o", "-output=vmlinux a.o",
        "-o other a.o -o vmlinux", "-o -r -o vmlinux a.o", "-T -shared -o vmlinux a.o",
        "-z defs -m elf_x86_64 -e -r -o vmlinux a.o", "-plugin-opt -r -o vmlinux a.o", "-omagic -o vmlinux a.o",
        "-Map -r -o vmlinux a.o", "-dynamic-linker --version -o vmlinux a.o", "-soname -shared -o vmlinux a.o",
        "-v -o vmlinux a.o", "-shared -T a.lds -o vmlinux a.o",
        "--defsym a=b -u -shared -o vmlinux -la", "-Ttext -r -o vmlinux a.o",
    ],
)  # fmt: skip
def test_final_links_and_their_output(words: str) -> None:
    line = parse(words.split())
    assert line.is_final
    assert line.output == "vmlinux"


@pytest.mark.parametrize(
    "words",
    [
        "-r a.o -o vmlinux", "-i a.o", "-Ur a.o", "--relocatable a.o", "-relocatable a.o", "-shared a.o",
        "--shared a.o", "-Bshareable a.o", "-v", "-o vmlinux", "--version a.o", "--help a.o", "", "-T a.lds", "-V",
        "-r -T a.lds a.o",
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
     ("-", "")],
)  # fmt: skip
def test_map_goes_where_gnu_ld_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maps").mkdir()
    line = parse(["a.o", "-o", "out/x", f"-Map={value}"])
    assert line.map(percent_is_output=True) == path


def test_map_of_lld_is_as_it_is_named() -> None:
    assert parse(["a.o", "-Map=a%.map"]).map(percent_is_output=False) == "a%.map"


def test_response_files_are_read_also_in_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one").write_text("-o 'v m' \"@t w o\"\n@missing")
    (tmp_path / "t w o").write_text("a\\ b.o\n\n-shared")
    line = parse(["@one"])
    assert line.output == "v m"
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
