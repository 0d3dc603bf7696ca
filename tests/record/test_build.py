"""The record says what went into the image: all of it, as it was then, and nothing that the build itself made."""

import hashlib
import json
import shlex
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from buildplug.base import data, fingerprints
from buildplug.record.build import NOTES, read_note, read_record
from buildplug.stage.notes import Verified
from tests.conftest import tool
from tests.samples import SAMPLE, buildplug, built, copy_sample, edit


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    return copy_sample(tmp_path / "kernel")


def test_inputs_are_the_same_wherever_the_build_directory_is(kernel: Path, tmp_path: Path) -> None:
    assert built(kernel)["inputs"] == built(kernel, "--build-dir", tmp_path / "else" / "where")["inputs"]


def test_build_elsewhere_with_nothing_to_do_does_nothing(kernel: Path, tmp_path: Path) -> None:
    built(kernel, "--build-dir", tmp_path / "elsewhere")
    said = buildplug("build", kernel, "--build-dir", tmp_path / "elsewhere", "--explain").stderr.splitlines()
    assert [line for line in said if not line.endswith(": up to date")] == ["compile: runs: ninja decides"]


def test_inputs_are_all_that_the_compiler_says_it_reads(kernel: Path) -> None:
    inputs = built(kernel)["inputs"]
    for entry in json.loads((kernel / "build" / "compile_commands.json").read_text()):
        words = shlex.split(entry["command"])
        read = tool(*words[: words.index("-MD")], "-M", entry["file"], cwd=kernel).replace("\\\n", " ").split()[1:]
        assert {path for path in read if not path.startswith("build/")} <= set(inputs)


def test_inputs_have_the_template_that_takes_the_place_of_ours(kernel: Path) -> None:
    shutil.copy(SAMPLE.parent / "templates/tables/packed.S.j2", kernel)
    assert "packed.S.j2" in built(kernel)["inputs"]


@pytest.mark.parametrize("name", ["kernel.h", "tables.S.j2"])
def test_digest_of_an_input_that_changes_no_code_is_that_of_now(kernel: Path, name: str) -> None:
    (kernel / "tables.S.j2").write_text((SAMPLE.parent / "templates/tables/tables.S.j2").read_text())
    built(kernel)
    with (kernel / name).open("a") as file:
        file.write("/* no code */\n")
    assert built(kernel)["inputs"][name] == hashlib.sha256((kernel / name).read_bytes()).hexdigest()


def test_variable_that_the_compiler_reads_is_recorded_and_compiles_anew(kernel: Path, tmp_path: Path) -> None:
    (kernel / "odd.c").write_text("#include <odd.h>\nint odd = ODD;\n")
    images = []
    for value in (1, 2):
        (tmp_path / str(value)).mkdir()
        (tmp_path / str(value) / "odd.h").write_text(f"#define ODD {value}\n")
        record = built(kernel, env={"CPATH": str(tmp_path / str(value))})
        assert record["environment"] == {"CPATH": str(tmp_path / str(value))}
        assert str(tmp_path / str(value) / "odd.h") in record["inputs"]
        images.append(record["outputs"]["vmlinux"])
    assert images[0] != images[1]


def test_script_that_is_included_from_elsewhere_keeps_the_name_that_the_linker_was_given(
    kernel: Path, tmp_path: Path
) -> None:
    (tmp_path / "more.lds").write_text("more = 1;\n")
    edit(kernel / "kernel.lds", ("ENTRY(start)", "ENTRY(start)\nINCLUDE ../more.lds"))
    assert "../more.lds" in built(kernel)["inputs"]


def test_digest_of_buildplug_is_of_its_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python leaves folders of bytecode."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "one.py").write_text("")
    monkeypatch.setattr(data, "PACKAGE", tmp_path)
    before = fingerprints.own_digest.__wrapped__()
    (tmp_path / "base" / "__pycache__").mkdir()
    assert fingerprints.own_digest.__wrapped__() == before
    (tmp_path / "base" / "one.py").write_text("1")
    assert fingerprints.own_digest.__wrapped__() != before


DAMAGED = (b"", b"\xff", b"[1]", b'{"seconds": 1.0', b"[" * 100000, b'{"seconds": "1"}')


def test_damaged_note_is_made_anew(kernel: Path) -> None:
    built(kernel)
    for name in NOTES:
        note = kernel / "build" / "notes" / f"{name}.json"
        note.write_bytes(DAMAGED[len(name) % len(DAMAGED)])
        done = buildplug("build", kernel)
        assert (done.returncode, done.stderr) == (0, "")
        assert read_note(note, NOTES[name])


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_note_is_no_note(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "note.json").write_bytes(content)
    assert read_note(tmp_path / "note.json", Verified) is None


@pytest.mark.parametrize("content", [b"", b"{}", b'{"links": 1}'])
def test_damaged_record_is_made_anew(kernel: Path, content: bytes) -> None:
    record = built(kernel)
    (kernel / "build" / "vmlinux.buildplug.json").write_bytes(content)
    assert built(kernel) == record


def test_record_is_read_as_it_was_written(kernel: Path) -> None:
    written = built(kernel)
    record = read_record(kernel / "build" / "vmlinux.buildplug.json")
    assert json.loads(json.dumps(asdict(record))) == written
