"""Provenance: what it says is true and no more, in the published forms; what is wrong with one is one line.

The oracle of the forms is the in-toto project's own package: its messages refuse unknown fields and wrong types.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from buildplug.base.errors import BuildplugError
from buildplug.config import project
from buildplug.record import provenance
from buildplug.record.build import read_record
from tests.conftest import tool
from tests.rebuilding import make, repro
from tests.samples import buildplug, copy_sample, edit, one_line


def sha256(path: str | Path) -> str:
    return tool("sha256sum", path).split()[0]


def provenance_of(kernel: Path, *words: str | Path, **options: Any) -> dict[str, Any]:
    """Builds a kernel; its provenance."""
    path = kernel.parent / "provenance.json"
    done = buildplug("build", kernel, f"--provenance={path}", *words, **options)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def dependencies(statement: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry for entry in statement["predicate"]["buildDefinition"]["resolvedDependencies"]}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kernel that has been built, and its provenance in its build directory. Not to be changed."""
    kernel = copy_sample(tmp_path_factory.mktemp("built") / "kernel")
    done = buildplug("build", kernel, "--provenance")
    assert done.returncode == 0, done.stderr
    return kernel


@pytest.fixture
def kernel(built: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(built, tmp_path / "kernel"))


@pytest.fixture
def statement(built: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((built / "build" / "vmlinux.provenance.json").read_text())
    return found


def valid(statement: dict[str, Any], predicate: Any) -> None:
    """Fails if in-toto's own package does not take a statement with that predicate."""
    parsed = json_format.ParseDict(statement, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    json_format.ParseDict(statement["predicate"], predicate)


def test_provenance_has_the_published_form(statement: dict[str, Any]) -> None:
    valid(statement, provenance_pb2.Provenance())
    # as the specification of SLSA Provenance v1 calls them
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert set(statement["predicate"]["buildDefinition"]) >= {"buildType", "externalParameters"}
    assert statement["predicate"]["runDetails"]["builder"]["id"]


def test_comparison_has_the_published_form() -> None:
    digest = hashlib.sha256(b"").hexdigest()
    told = provenance.comparison({"vmlinux": digest}, {"record": digest}, {"as before": True, "another path": False})
    valid(told, test_result_pb2.TestResult())
    assert told["predicate"]["result"] == "FAILED"
    assert told["predicate"]["failedTests"] == ["another path"]
    assert provenance.comparison({"vmlinux": digest}, {}, {"as before": True})["predicate"]["result"] == "PASSED"


def test_statement_of_rebuilds_names_each_by_what_was_varied(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", "echo $$TZ >out")
    for varied, passed, failed in (
        ("timezone,umask", ["nothing varied", "umask"], ["timezone"]), ("home,umask", ["home with umask"], []),
    ):  # fmt: skip
        path = tmp_path / "statement.json"
        words = (f"--vary=-all,{varied}", f"--statement={path}", "--output", "out", "--", "make")
        assert repro(project, scratch, *words).returncode == bool(failed)
        told = json.loads(path.read_text())
        valid(told, test_result_pb2.TestResult())
        assert (told["predicate"]["passedTests"], told["predicate"]["failedTests"]) == (passed, failed)
        assert told["predicate"]["result"] == ("FAILED" if failed else "PASSED")
    own = f"{os.environ.get('TZ', '')}\n"
    assert told["subject"] == [{"name": "out", "digest": {"sha256": hashlib.sha256(own.encode()).hexdigest()}}]


def test_comparison_without_a_rebuild_has_not_passed() -> None:
    with pytest.raises(BuildplugError, match="expected a rebuild, found none"):
        provenance.comparison({"vmlinux": "0" * 64}, {}, {})


def test_oracle_refuses_what_the_form_has_not(statement: dict[str, Any]) -> None:
    statement["predicate"]["runDetails"]["trusted"] = True
    with pytest.raises(json_format.ParseError, match="trusted"):
        valid(statement, provenance_pb2.Provenance())


def test_subject_is_the_image(built: Path, statement: dict[str, Any]) -> None:
    image = built / "build" / "vmlinux"
    assert statement["subject"] == [{"name": "vmlinux", "digest": {"sha256": sha256(image)}}]


def test_builder_claims_no_trust(statement: dict[str, Any]) -> None:
    assert statement["predicate"]["runDetails"]["builder"]["id"] == "urn:buildplug:builder:local-unattested"


def test_dependencies_are_sources_script_and_headers_with_their_digests(built: Path, statement: dict[str, Any]) -> None:
    found = dependencies(statement)
    named = {p.name for p in built.iterdir() if p.is_file()}
    assert named <= set(found)
    assert {name: found[name]["digest"]["sha256"] for name in named} == {name: sha256(built / name) for name in named}


@pytest.mark.parametrize("name", ["cc", "cc1", "as", "ld"])
def test_tool_has_its_digest_and_package(statement: dict[str, Any], name: str) -> None:
    program = {"cc": "gcc"}.get(name) or tool("gcc", f"-print-prog-name={name}").strip()
    path = Path(shutil.which(program) or "").resolve()
    entry = dependencies(statement)[name]
    assert entry["digest"]["sha256"] == sha256(path)
    package = tool("dpkg-query", "-S", path).partition(":")[0]
    assert entry["annotations"]["buildplug_package"].startswith(f"pkg:deb/debian/{package}@")


def test_clang_has_no_assembler_of_its_own(kernel: Path) -> None:
    edit(kernel / "buildplug.toml", ('cc = "gcc"', 'cc = "clang"'), ('"-Werror",\n', "\n"))
    tools = {name for name, e in dependencies(provenance_of(kernel)).items() if "annotations" in e}
    assert tools == {"buildplug", "cc", "ld"}


def test_same_build_elsewhere_and_later_has_the_same_provenance(built: Path, tmp_path: Path) -> None:
    kernel = copy_sample(tmp_path / "else" / "where")
    provenance_of(kernel, "--build-dir", tmp_path / "out", env={"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"})
    told = (kernel.parent / "provenance.json").read_bytes()
    assert told == (built / "build" / "vmlinux.provenance.json").read_bytes()


def test_environment_that_tools_read_is_a_parameter(kernel: Path) -> None:
    told = provenance_of(kernel, env={"SOURCE_DATE_EPOCH": "1", "HOME": "/nowhere"})
    assert parameters(told) == {"config": "buildplug.toml", "arch": "x86_64", "environment": {"SOURCE_DATE_EPOCH": "1"}}


def test_object_older_than_its_assembler_is_an_error(kernel: Path) -> None:
    (kernel / "bin").mkdir()
    edit(kernel / "buildplug.toml", ("cflags = [", 'cflags = ["-Bbin/", '), ("asflags = [", 'asflags = ["-Bbin/", '))
    (kernel / "bin" / "as").symlink_to(shutil.which("as") or "")
    provenance_of(kernel)
    (kernel / "bin" / "as").unlink()
    shutil.copy(shutil.which("as") or "", kernel / "bin" / "as")
    failed = buildplug("build", kernel, "--provenance")
    assert failed.returncode == 1
    assert "expected objects made by the as that is there" in one_line(failed.stderr)
    shutil.rmtree(kernel / "build")
    assert dependencies(provenance_of(kernel))["as"]["digest"]["sha256"] == sha256(kernel / "bin" / "as")


def test_provenance_that_cannot_be_written_is_one_line(built: Path, tmp_path: Path) -> None:
    failed = buildplug("build", built, f"--provenance={tmp_path}")
    assert failed.returncode == 1
    assert "cannot be written" in one_line(failed.stderr)


def reread(statement: Any, tmp_path: Path) -> provenance.Record:
    path = tmp_path / "record.json"
    path.write_text(statement if isinstance(statement, str) else json.dumps(statement))
    return provenance.read(path)


def test_read_gives_what_was_written(built: Path, statement: dict[str, Any], tmp_path: Path) -> None:
    record = reread(statement, tmp_path)
    assert record.outputs == {"vmlinux": sha256(built / "build" / "vmlinux")}
    assert record.byproducts == {}
    assert record.inputs["kernel.lds"] == sha256(built / "kernel.lds")
    assert set(record.tools) == {"buildplug", "cc", "cc1", "as", "ld"}
    assert record.parameters == provenance.Parameters("buildplug.toml", "x86_64", {})


def test_read_passes_over_fields_that_it_does_not_know(statement: dict[str, Any], tmp_path: Path) -> None:
    expected = reread(statement, tmp_path)
    statement["predicate"]["runDetails"]["metadata"] = {"invocationId": "1", "other_field": [1]}
    assert reread(statement, tmp_path) == expected


Change = Callable[[dict[str, Any]], object]


def definition(statement: dict[str, Any]) -> Any:
    return statement["predicate"]["buildDefinition"]


def parameters(statement: dict[str, Any]) -> Any:
    return definition(statement)["externalParameters"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"), "_type: expected https://in-toto.io/Statement/v1"),
        (lambda s: s.update(predicateType="https://slsa.dev/provenance/v0.2"), "found https://slsa.dev/provenance/v0.2"),
        (lambda s: definition(s).update(buildType="urn:buildplug:build:v2"), "expected urn:buildplug:build:v1"),
        (lambda s: parameters(s).update(conifg="x"), "unknown key 'conifg'; did you mean 'config'?"),
        (lambda s: parameters(s)["environment"].update(PATH="/"), "unknown variable 'PATH'"),
        (lambda s: parameters(s).update(config="../x.toml"), "expected one of resolvedDependencies"),
        (lambda s: parameters(s).update(config=1), "expected a string, found 1"),
        (lambda s: definition(s).pop("externalParameters"), "externalParameters: expected a table, found None"),
        (lambda s: definition(s).update(resolvedDependencies={}), "resolvedDependencies: expected a list"),
        (lambda s: s["subject"].clear(), "subject: expected an image, found none"),
        (lambda s: s["subject"][0].update(digest={"sha256": "0" * 63}), "subject[0]: expected a SHA-256 of vmlinux"),
        (lambda s: s["subject"][0].update(digest={"sha256": "G" * 64}), "subject[0]: expected a SHA-256 of vmlinux"),
        (lambda s: s["subject"][0].update(digest={"md5": "0" * 32}), "digest.sha256: expected a string, found None"),
        (lambda s: s["subject"].append({"name": "vmlinux", "digest": {"sha256": "0" * 64}}), "expected one digest"),
        (lambda s: s.pop("predicate"), "expected a string, found None"),
    ],
)  # fmt: skip
def test_record_that_is_not_consistent_is_one_line(
    statement: dict[str, Any], tmp_path: Path, change: Change, says: str
) -> None:
    change(statement)
    with pytest.raises(BuildplugError) as error:
        reread(statement, tmp_path)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '{"a": 1, "a": 1}', "[" * 100000, '"\\ud800"', "1e999", "nul\0"]
)
def test_text_that_is_no_record_is_one_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(BuildplugError) as error:
        reread(text, tmp_path)
    assert "\n" not in str(error.value)


def test_record_cut_anywhere_is_one_line(statement: dict[str, Any], tmp_path: Path) -> None:
    text = json.dumps(statement)
    for length in range(0, len(text), 97):
        with pytest.raises(BuildplugError, match="expected a whole record"):
            reread(text[:length], tmp_path)


def checked(record: provenance.Record, kernel: Path, variables: dict[str, str] | None = None) -> Any:
    """The differences of a record from what was built in `kernel`."""
    built = read_record(kernel / "build" / "vmlinux.buildplug.json")
    return provenance.check(record, project.read(kernel / "buildplug.toml"), built.inputs, variables or {})


def test_check_finds_nothing_in_the_tree_that_was_built(kernel: Path) -> None:
    assert checked(provenance.read(kernel / "build" / "vmlinux.provenance.json"), kernel) == []


def test_check_names_what_differs(kernel: Path) -> None:
    record = provenance.read(kernel / "build" / "vmlinux.provenance.json")
    edit(kernel / "kernel.lds", ("SECTIONS", "/* a comment */\nSECTIONS"))
    (kernel / "smp.c").rename(kernel / "new.c")
    (kernel / "ld").symlink_to(shutil.which("ld") or "")
    edit(kernel / "buildplug.toml", ('ld = "ld"', 'ld = "./ld"'))
    provenance_of(kernel)
    (kernel / "ld").unlink()
    (kernel / "ld").symlink_to(shutil.which("ld.lld") or "")
    found = {d.what: d for d in checked(record, kernel, {"CPATH": "/opt"})}
    assert set(found) == {
        "input buildplug.toml", "input kernel.lds", "input smp.c", "input new.c", "tool ld", "variable CPATH"
    }  # fmt: skip
    assert found["input kernel.lds"].found == sha256(kernel / "kernel.lds")
    assert str(found["input smp.c"]).endswith("found none")
    assert found["input new.c"].recorded == ""


@pytest.mark.parametrize("name", ["pipe", "link", "../../../../../../../etc/passwd", "/proc/kmsg", "/etc/passwd"])
def test_check_opens_no_file_that_a_record_names(
    kernel: Path, statement: dict[str, Any], tmp_path: Path, name: str
) -> None:
    """A pipe and /proc/kmsg would wait for ever, and a digest says what a file has."""
    os.mkfifo(kernel / "pipe")
    (kernel / "link").symlink_to("/etc/passwd")
    definition(statement)["resolvedDependencies"].append({"name": name, "digest": {"sha256": "0" * 64}})
    (difference,) = checked(reread(statement, tmp_path), kernel)
    assert difference == provenance.Difference(f"input {name}", "0" * 64, "")


def test_record_without_an_end_is_one_line() -> None:
    with pytest.raises(BuildplugError, match="expected a text of at most 64 MiB, found more"):
        provenance.read(Path("/dev/zero"))
