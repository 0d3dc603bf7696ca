"""A rebuild compared with what a record of provenance says."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import tool
from tests.samples import buildplug, copy_sample, edit, one_line


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A kernel that was built, without its build directory, and the record of it."""
    folder = tmp_path_factory.mktemp("recorded")
    kernel, record = copy_sample(folder / "kernel"), folder / "record.json"
    done = buildplug("build", kernel, "--provenance", record, env={"SOURCE_DATE_EPOCH": "86400"})
    assert done.returncode == 0, done.stderr
    shutil.rmtree(kernel / "build")
    return kernel, record


def against(kernel: Path, record: Path, scratch: Path, *words: str) -> Any:
    return buildplug("repro", kernel, "--against", record, *words, env={"TMPDIR": str(scratch), "CPATH": "/nowhere"})


def test_rebuild_elsewhere_is_what_the_record_says(recorded: tuple[Path, Path], scratch: Path) -> None:
    """With the record's variables, whatever those of the caller are."""
    done = against(*recorded, scratch, "--json")
    assert done.returncode == 0, done.stderr
    found, record = json.loads(done.stdout), json.loads(recorded[1].read_text())
    subject = {entry["name"]: entry["digest"]["sha256"] for entry in record["subject"]}
    assert subject.items() <= found["digests"].items()
    assert found["reproducible"]
    assert found["others"] == []
    assert list(scratch.iterdir()) == []


def test_rebuild_knows_an_input_by_whatever_path(scratch: Path, tmp_path: Path) -> None:
    kernel, record = copy_sample(tmp_path / "kernel"), tmp_path / "record.json"
    edit(
        kernel / "buildplug.toml", ('script = "kernel.lds"', f'script = "./kernel.lds"\nobjects = ["{kernel}/extra.o"]')
    )
    tool("gcc", "-c", "-x", "c", "/dev/null", "-o", kernel / "extra.o")
    assert buildplug("build", kernel, "--provenance", record).returncode == 0
    assert json.loads(against(kernel, record, scratch, "--json").stdout)["others"] == []


@pytest.mark.parametrize("consent", [False, True])
def test_variable_of_a_record_counts_only_if_the_user_has_set_it_so(
    recorded: tuple[Path, Path], scratch: Path, tmp_path: Path, consent: bool
) -> None:
    """COMPILER_PATH names programs that run."""
    ran, programs = tmp_path / "ran", tmp_path / "programs"
    programs.mkdir()
    (programs / "as").write_text(f'#!/bin/sh\ntouch {ran}\nexec as "$@"\n')
    (programs / "as").chmod(0o755)
    record = json.loads(recorded[1].read_text())
    variables = record["predicate"]["buildDefinition"]["externalParameters"]["environment"]
    variables["COMPILER_PATH"] = str(programs)
    (tmp_path / "record.json").write_text(json.dumps(record))
    env = {"TMPDIR": str(scratch)} | ({"COMPILER_PATH": str(programs)} if consent else {})
    done = buildplug("repro", recorded[0], "--against", tmp_path / "record.json", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert ran.exists() == consent
    others = [other for other in json.loads(done.stdout)["others"] if other["what"].startswith("variable")]
    noted = {"what": "variable COMPILER_PATH", "recorded": str(programs), "found": ""}
    assert others == ([] if consent else [noted])


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_configuration_of_a_record_is_a_file_of_the_project(
    recorded: tuple[Path, Path], scratch: Path, tmp_path: Path, kind: str
) -> None:
    kernel = Path(shutil.copytree(recorded[0], tmp_path / "kernel"))
    shutil.copy(kernel / "buildplug.toml", tmp_path / "elsewhere.toml")
    os.mkfifo(kernel / "pipe") if kind == "pipe" else (kernel / "link").symlink_to(tmp_path / "elsewhere.toml")
    record = json.loads(recorded[1].read_text())
    definition = record["predicate"]["buildDefinition"]
    definition["externalParameters"]["config"] = kind
    definition["resolvedDependencies"].append({"name": kind, "digest": {"sha256": "0" * 64}})
    (tmp_path / "record.json").write_text(json.dumps(record))
    done = against(kernel, tmp_path / "record.json", scratch)
    assert "expected a file of the project" in one_line(done.stderr)


def test_record_of_another_configuration_than_the_named_one_is_one_line(
    recorded: tuple[Path, Path], scratch: Path, tmp_path: Path
) -> None:
    kernel = Path(shutil.copytree(recorded[0], tmp_path / "kernel"))
    shutil.copy(kernel / "buildplug.toml", kernel / "other.toml")
    done = against(kernel / "other.toml", recorded[1], scratch)
    assert "expected the record of other.toml" in one_line(done.stderr)


def test_rebuild_of_another_source_is_not_and_names_it(
    recorded: tuple[Path, Path], scratch: Path, tmp_path: Path
) -> None:
    kernel = Path(shutil.copytree(recorded[0], tmp_path / "kernel"))
    with (kernel / "main.c").open("a") as file:
        file.write("int more = 1;\n")
    done = against(kernel, recorded[1], scratch)
    assert done.returncode == 1
    assert "vmlinux: not as" in done.stdout
    assert "input main.c: recorded" in one_line(done.stderr)
    tree = Path(next(line for line in done.stdout.splitlines() if line.startswith("kept: ")).split(" in ")[1])
    assert (tree / "build" / "vmlinux").is_file()


def test_record_with_another_digest_is_one_line(recorded: tuple[Path, Path], scratch: Path, tmp_path: Path) -> None:
    record = json.loads(recorded[1].read_text())
    record["subject"][0]["digest"]["sha256"] = "0" * 64
    (tmp_path / "record.json").write_text(json.dumps(record))
    done = against(recorded[0], tmp_path / "record.json", scratch)
    assert done.returncode == 1
    assert "its inputs and tools are those of the record" in one_line(done.stderr)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record | {"_type": "other"},
        lambda record: record | {"subject": []},
        lambda record: record["subject"][0].update(name="/etc/passwd") or record,
        lambda record: record["subject"][0].update(name="..") or record,
        lambda record: record["subject"][0].update(name="buildplug.toml") or record,
        lambda record: record["predicate"]["buildDefinition"]["externalParameters"].update(more=1) or record,
        lambda record: (
            record["predicate"]["buildDefinition"]["externalParameters"].update(config="/etc/passwd") or record
        ),
    ],
    ids=[
        "another version", "no image", "an image elsewhere", "a folder", "an image that is not made",
        "an unknown parameter", "a file elsewhere",
    ],
)  # fmt: skip
def test_record_that_is_wrong_is_one_line(
    recorded: tuple[Path, Path], scratch: Path, tmp_path: Path, change: Any
) -> None:
    (tmp_path / "record.json").write_text(json.dumps(change(json.loads(recorded[1].read_text()))))
    done = against(recorded[0], tmp_path / "record.json", scratch)
    assert done.returncode == 1
    one_line(done.stderr)
    assert list(scratch.iterdir()) == []


def test_record_that_is_cut_off_is_one_line(recorded: tuple[Path, Path], scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_bytes(recorded[1].read_bytes()[:-100])
    assert "record.json" in one_line(against(recorded[0], tmp_path / "record.json", scratch).stderr)


def test_statement_says_which_record_was_compared(recorded: tuple[Path, Path], scratch: Path, tmp_path: Path) -> None:
    record = json.loads(recorded[1].read_text())
    assert against(*recorded, scratch, f"--statement={tmp_path / 'statement'}").returncode == 0
    told = json.loads((tmp_path / "statement").read_text())
    assert told["predicate"]["result"] == "PASSED"
    digest = hashlib.sha256(recorded[1].read_bytes()).hexdigest()
    assert told["predicate"]["configuration"][0] == {"name": "record.json", "digest": {"sha256": digest}}
    assert record["subject"][0] in told["subject"]


def test_other_options_are_wrong_usage(recorded: tuple[Path, Path], scratch: Path) -> None:
    done = against(*recorded, scratch, "--vary=time")
    assert done.returncode == 2
    assert "without other options" in one_line(done.stderr)
