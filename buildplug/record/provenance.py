"""Provenance: what went into an image, and the results of rebuilding it, in standard formats.

A build is an in-toto Statement v1 with the predicate SLSA Provenance v1, https://slsa.dev/provenance/v1. It claims
little: nobody signed it, and its builder is a local one that nobody vouches for: no more than SLSA's Build Level 1. It
has no times, no id of the invocation and no draft, which a build by one link has not: the same inputs give the same
bytes. Its parameters:

    config       the name of the configuration file, in the root that the names of inputs are relative to
    arch         the architecture that it was built for
    environment  those of fingerprints.VARIABLES that were set

A comparison of rebuilds has the predicate Test Result, https://in-toto.io/attestation/test-result/v0.1: the tests that
ran on a subject, and their results. A test is a build compared with the subject, named by what was varied in it. A
Verification Summary would claim an SLSA level and a policy, a Simple Verification Result a trusted verifier; a rebuild
with one's own tools on one's own machine has neither.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from buildplug import __version__
from buildplug.base import files, fingerprints
from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen
from buildplug.base.schema import checked, convert, unknown
from buildplug.config.project import Config
from buildplug.record.build import BuildRecord
from buildplug.record.programs import Program, programs

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
BUILD = "urn:buildplug:build:v1"  # defined by this module's docstring
BUILDER = "urn:buildplug:builder:local-unattested"

Statement = dict[str, Any]


@frozen
class Parameters:
    """The externalParameters of a build."""

    config: str
    arch: str = ""  # empty: the configuration's
    environment: dict[str, str] = field(default_factory=dict)


@frozen
class Record:
    """A provenance statement that was read. The mappings are name -> SHA-256."""

    path: Path
    parameters: Parameters
    outputs: dict[str, str]
    byproducts: dict[str, str]
    inputs: dict[str, str]
    tools: dict[str, str]


@frozen
class Difference:
    """A difference from a record; a missing value is empty."""

    what: str
    recorded: str
    found: str

    def __str__(self) -> str:
        return f"{self.what}: recorded {self.recorded or 'none'}, found {self.found or 'none'}"


def statement(wanted: Config, record: BuildRecord) -> Statement:
    """The provenance of the image just built, from its record.

    Raises BuildplugError if a tool is newer than an object: what made that object is unknown.
    """
    tools = programs(wanted)
    sources = [*(wanted.root / name for name in wanted.sources), *wanted.generated.glob("*.[cS]")]
    objects = [path for source in sources if (path := wanted.object_of(source)).exists()]
    oldest = min(objects, key=lambda path: path.stat().st_mtime_ns)
    later = {"ld", *wanted.table_programs}  # if one of these changes, a build runs it again
    for name, tool in tools.items():
        # ctime, as packages install files with old mtimes
        if tool.path and name not in later and tool.path.stat().st_ctime_ns > oldest.stat().st_mtime_ns:
            raise BuildplugError(
                oldest, f"expected objects made by the {name} that is there, found {tool.path} to be newer",
                "build into an empty directory",
            )  # fmt: skip
    image = wanted.kernel.name
    predicate = {
        "buildDefinition": {
            "buildType": BUILD,
            "externalParameters": {
                "config": wanted.path.name,
                "arch": wanted.arch.name,
                "environment": record.environment,
            },
            "resolvedDependencies": [
                *_descriptors(record.inputs),
                *(_tool(name, tool) for name, tool in tools.items()),
            ],
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"buildplug": __version__}},
            "byproducts": [],  # not the draft: whether it has empty tables depends on earlier builds
        },
    }
    return _statement({image: record.outputs[image]}, PROVENANCE, predicate)


def comparison(subject: Mapping[str, str], configuration: Mapping[str, str], verdicts: Mapping[str, bool]) -> Statement:
    """The results of rebuilds. `subject`: what was rebuilt; `configuration`: what defined the rebuild, such as a
    provenance file (both name -> SHA-256); `verdicts`: name of a rebuild, by how it was done -> whether it reproduced
    the subject. Raises BuildplugError without rebuilds, as nothing has passed."""
    if not verdicts:
        raise BuildplugError("comparison", "expected a rebuild, found none")
    predicate = {
        "result": "PASSED" if all(verdicts.values()) else "FAILED",
        "configuration": [*_descriptors(configuration), {"name": "builder", "uri": BUILDER}],
        "passedTests": [name for name, same in verdicts.items() if same],
        "failedTests": [name for name, same in verdicts.items() if not same],
    }
    return _statement(subject, TEST_RESULT, predicate)


def write(path: Path, content: Statement) -> None:
    """Writes a statement; equal statements give equal bytes."""
    files.write(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def _statement(subject: Mapping[str, str], kind: str, predicate: dict[str, Any]) -> Statement:
    return {"_type": STATEMENT, "subject": _descriptors(subject), "predicateType": kind, "predicate": predicate}


def _descriptors(digests: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())]


def _tool(name: str, tool: Program) -> dict[str, Any]:
    about = {"buildplug_kind": "tool", "buildplug_version": tool.version, "buildplug_package": tool.package}
    return {
        "name": name,
        "digest": {"sha256": tool.sha256},
        "annotations": {key: value for key, value in about.items() if value},
    }


def read(path: Path) -> Record:
    """Reads a provenance statement. Unknown fields are ignored, as the specifications demand, except in parameters. It
    is unsigned: only a rebuild detects a careful forgery.

    Raises BuildplugError if it is incomplete, inconsistent, or of another version.
    """
    where = str(path)
    try:
        data = json.loads(files.read_text(path), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise BuildplugError(path, f"expected a whole record as JSON, found: {error}", "fetch it again") from None
    for keys, version in (
        ("_type", STATEMENT), ("predicateType", PROVENANCE), ("predicate.buildDefinition.buildType", BUILD),
    ):  # fmt: skip
        if (found := _at(where, data, keys, str)) != version:
            raise BuildplugError(
                f"{where}: {keys}", f"expected {version}, found {found}", "use the buildplug of its time"
            )
    definition = _at(where, data, "predicate.buildDefinition", dict)
    parameters = convert(Parameters, definition.get("externalParameters"), f"{where}: externalParameters")
    for name in parameters.environment:
        if name not in fingerprints.VARIABLES:
            raise unknown(f"{where}: externalParameters.environment", "variable", name, fingerprints.VARIABLES)
    dependencies = _at(where, definition, "resolvedDependencies", list)
    tools = [entry for entry in dependencies if _is_tool(entry)]
    record = Record(
        path,
        parameters,
        _digests(f"{where}: subject", _at(where, data, "subject", list)),
        _digests(f"{where}: byproducts", _at(where, data, "predicate.runDetails.byproducts", list)),
        _digests(f"{where}: resolvedDependencies", [entry for entry in dependencies if not _is_tool(entry)]),
        _digests(f"{where}: resolvedDependencies", tools),
    )
    if not record.outputs:
        raise BuildplugError(f"{where}: subject", "expected an image, found none", "fetch it again")
    if Path(parameters.config).name != parameters.config or parameters.config not in record.inputs:
        raise BuildplugError(
            f"{where}: externalParameters.config", f"expected one of resolvedDependencies, found {parameters.config!r}",
            "the record was changed; fetch it again",
        )  # fmt: skip
    return record


def check(record: Record, wanted: Config, inputs: Mapping[str, str], variables: Mapping[str, str]) -> list[Difference]:
    """How a rebuild of the configuration `wanted` differs from a record: in its inputs (name -> SHA-256), in the
    environment variables that it had, and in this machine's tools. Opens no file that the record names: those are the
    record's choice. Raises BuildplugError if a tool is missing."""
    tools = {name: tool.sha256 for name, tool in programs(wanted).items()}
    return [
        *_differences("input", record.inputs, inputs),
        *_differences("variable", record.parameters.environment, variables),
        *_differences("tool", record.tools, tools),
    ]


def _differences(kind: str, recorded: Mapping[str, str], found: Mapping[str, str]) -> list[Difference]:
    names = sorted({*recorded, *found})
    pairs = [(name, recorded.get(name, ""), found.get(name, "")) for name in names]
    return [Difference(f"{kind} {name}", before, now) for name, before, now in pairs if before != now]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object without duplicate keys: parsers disagree on whether the first or the last counts."""
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError(f"a key twice among {', '.join(key for key, _ in pairs):.60}")
    return found


def _at(where: str, data: Any, keys: str, kind: type) -> Any:
    """The value at `keys`, a dotted path. Raises BuildplugError unless it is of that kind."""
    for key in keys.split("."):
        data = data.get(key) if isinstance(data, dict) else None
    if kind is list:
        return list(checked(tuple[dict[str, Any], ...], data, f"{where}: {keys}"))
    return checked(dict[str, Any] if kind is dict else kind, data, f"{where}: {keys}")


def _is_tool(entry: dict[str, Any]) -> bool:
    about = entry.get("annotations")
    return isinstance(about, dict) and about.get("buildplug_kind") == "tool"


def _digests(where: str, entries: list[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, entry in enumerate(entries):
        name = _at(f"{where}[{number}]", entry, "name", str)
        digest = _at(f"{where}[{number}]", entry, "digest.sha256", str)
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise BuildplugError(
                f"{where}[{number}]", f"expected a SHA-256 of {name}, found {digest!r:.80}", "fetch it again"
            )
        if found.setdefault(name, digest) != digest:
            raise BuildplugError(where, f"expected one digest of {name}, found two", "fetch it again")
    return found
