"""Reproducible builds verified: a clean kernel passes, and each planted fault is found, blamed and named."""

import hashlib
import os
import pwd
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from buildplug.base import data
from buildplug.repro.vary import VARIATIONS
from tests import faulty
from tests.conftest import tool
from tests.faulty import FAULTS, Fault
from tests.rebuilding import assert_nothing_is_left, make, repro, result, tree_digest
from tests.samples import buildplug, copy_sample, edit, one_line

NAMES = {variation.name for variation in VARIATIONS}


def kernel_with_all_tables(to: Path) -> Path:
    """The sample kernel, with the tables that it lacks of those that ship and are not Linux's."""
    with (copy_sample(to) / "buildplug.toml").open("a") as file:
        file.writelines(f'\n[[table]]\nrule = "{rule}"\n' for rule in ("functions", "mcount", "patchable"))
    keys = tomllib.loads((to / "buildplug.toml").read_text())
    rules = {table["rule"] for table in (*keys["table"], *keys["arch"]["x86_64"]["table"])}
    assert rules == {name for name in data.rules() if not name.startswith("linux-")}
    return to


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, namespaces: None) -> dict[str, Any]:
    """The sample kernel under every variation."""
    scratch = tmp_path_factory.mktemp("scratch")
    kernel = kernel_with_all_tables(tmp_path_factory.mktemp("clean") / "kernel")
    before = tree_digest(kernel)
    found = result(kernel, scratch)
    assert tree_digest(kernel) == before
    assert_nothing_is_left(scratch)
    return found


def test_sample_kernel_is_the_same_under_every_variation(clean: dict[str, Any]) -> None:
    assert clean["reproducible"]
    assert clean["blame"] == []
    assert clean["not_varied"] == {}
    assert {verdict["variation"] for verdict in clean["variations"]} == NAMES
    assert all(verdict["same"] for verdict in clean["variations"])


def test_its_digest_is_that_of_a_plain_build(clean: dict[str, Any], tmp_path: Path) -> None:
    kernel = kernel_with_all_tables(tmp_path / "elsewhere")
    assert buildplug("build", kernel).returncode == 0
    digest = hashlib.sha256((kernel / "build" / "vmlinux").read_bytes()).hexdigest()
    assert clean["outputs"] == {"build/vmlinux": digest}


@pytest.mark.usefixtures("namespaces")
def test_distcc_and_ccache_really_work_for_the_sample_kernel(clean: dict[str, Any]) -> None:
    notes = {verdict["variation"]: verdict["note"] for verdict in clean["variations"] if verdict["note"]}
    sources = len(list(Path("sample_kernel").glob("*.c")))
    counts = {name: int(note.partition(" ")[0]) for name, note in notes.items()}
    assert counts["launcher"] >= sources
    assert counts["cache"] >= sources


@pytest.mark.usefixtures("namespaces")
def test_a_compiler_that_path_does_not_find_is_said_not_to_be_varied(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", "echo 1 >out")
    found = result(project, scratch, "--vary=-all,launcher,cache", "--output", "out", "--", "make")
    assert found["reproducible"]
    assert {name for name, why in found["not_varied"].items() if "it takes a compiler" in why} == {"launcher", "cache"}
    assert found["variations"] == []


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory, namespaces: None) -> dict[str, Any]:
    """The project with a fault in each output, compared."""
    scratch = tmp_path_factory.mktemp("scratch")
    folder = faulty.write(tmp_path_factory.mktemp("faulty") / "project")
    return result(folder, scratch, "--vary=-cache,-launcher", "--output", "*.elf", "--output", "mode.tar", "--", "make")


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.output for fault in FAULTS])
def test_planted_fault_is_blamed_on_its_variation_and_named_at_its_place(faults: dict[str, Any], fault: Fault) -> None:
    blamed = [blame for blame in faults["blame"] if blame["output"] == fault.output]
    assert {frozenset(blame["variations"]) for blame in blamed} == {
        frozenset({name}) for name in fault.blamed
    } or not fault.blamed
    assert fault.blamed or [blame["variations"] for blame in blamed] == [[]]
    for blame in blamed:
        place = blame["places"][0]
        assert " ".join(filter(None, (place["part"], place["symbol"].partition("+")[0]))) == fault.place
        assert place["cause"] == fault.cause
        assert any(remedy.startswith(fault.cause) for remedy in blame["remedies"])
        for build, offset, shown in (
            ("control", place["offset"], place["control"]), (blame["build"], place["varied_offset"], place["varied"]),
        ):  # fmt: skip
            data = (Path(faults["kept"][build]) / fault.output).read_bytes()
            assert data[offset:].startswith(bytes.fromhex(shown))
        assert place["control"][:2] != place["varied"][:2]


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.output.endswith(".elf")], ids=lambda fault: fault.output)
def test_place_is_where_readelf_has_it(faults: dict[str, Any], fault: Fault) -> None:
    blame = next(blame for blame in faults["blame"] if blame["output"] == fault.output)
    place, path = blame["places"][0], Path(faults["kept"]["control"]) / fault.output
    rows = [line.replace("[ ", "[").split() for line in tool("readelf", "-SW", path).splitlines()]
    section = next(row for row in rows if len(row) > 5 and row[1] == place["part"])
    start, size = int(section[4], 16), int(section[5], 16)
    assert start <= place["offset"] < start + size
    if place["symbol"]:
        name, offset = place["symbol"].split("+")
        address = next(int(line.split()[0], 16) for line in tool("nm", path).splitlines() if line.endswith(f" {name}"))
        assert address + int(offset, 16) - int(section[3], 16) + start == place["offset"]


def test_nothing_else_is_blamed(faults: dict[str, Any]) -> None:
    assert {blame["output"] for blame in faults["blame"]} == {fault.output for fault in FAULTS}
    wrong = {name for fault in FAULTS for name in fault.blamed}
    assert {verdict["variation"] for verdict in faults["variations"] if not verdict["same"]} == wrong
    assert set(faults["kept"]) == {"control", "again", *wrong}


COMMON = ("environment", "build_path", "num_cpus", "kernel", "aslr", "time", "fileordering", "home", "locales",
          "exec_path", "timezone", "umask")  # fmt: skip


def test_verdicts_are_those_of_reprotest(faults: dict[str, Any], tmp_path: Path) -> None:
    """The real reprotest, with a build for each variation alone: the same outputs differ."""
    project, store = faulty.write(tmp_path / "project"), tmp_path / "store"
    tool("localedef", "-i", "et_EE", "-f", "UTF-8", tmp_path / "et_EE.UTF-8")
    done = subprocess.run(
        ["reprotest", "--no-diffoscope", "--variations=-all", *(f"--extra-build={name}" for name in COMMON),
         "--store-dir", store, "-s", project, "make -s -j$(nproc)", "*.elf *.tar"],
        env=os.environ | {"USER": "root", "PYTHONHASHSEED": "0", "LOCPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # they differ

    def differing(experiment: int) -> set[str]:
        trees = [store / build / "source-root" for build in ("control", f"experiment-{experiment}")]
        outputs = [{path.name: path.read_bytes() for path in tree.iterdir()} for tree in trees]
        assert outputs[0].keys() == outputs[1].keys() == {fault.output for fault in FAULTS}
        return {name for name, content in outputs[0].items() if content != outputs[1][name]}

    own = differing(1)
    assert own == {blame["output"] for blame in faults["blame"] if not blame["variations"]}
    for number, name in enumerate(COMMON, 2):
        ours = {blame["output"] for blame in faults["blame"] if blame["variations"] == [name]}
        assert ours == differing(number) - own, name


def test_fault_of_two_variations_together_is_blamed_on_both(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", 'if [ "$$TZ" = GMT-14 ]; then umask; else echo 0022; fi >out')
    found = result(project, scratch, "--vary=-all,umask,timezone,home,hash_seed", "--output", "out", "--", "make", "-s")
    assert [blame["variations"] for blame in found["blame"]] == [["timezone", "umask"]]


def test_what_differs_from_build_to_build_is_blamed_on_no_variation(tmp_path: Path, scratch: Path) -> None:
    """Though in one pair of builds the first digits are equal by chance, and in another they are not."""
    count = tmp_path / "count"
    project = make(
        tmp_path / "project",
        f"set 5000 5100 5001 5100 7000 7001; shift $$(wc -l <{count}); echo >>{count}; echo now: $$1 >out",
    )
    count.touch()
    found = result(project, scratch, "--vary=-all,umask,timezone", "--output", "out", "--", "make", "-s")
    assert [blame["variations"] for blame in found["blame"]] == [[]]
    assert [(place["offset"], place["length"]) for place in found["blame"][0]["places"]] == [(8, 1)]


def test_build_id_that_follows_from_the_rest_needs_no_remedy(tmp_path: Path, scratch: Path) -> None:
    project = make(
        tmp_path / "project",
        'echo ".data; .ascii \\"$$TZ\\"" | gcc -c -xassembler - -o a.o; ld -e0 --build-id a.o -o out',
    )
    (blame,) = result(project, scratch, "--vary=-all,timezone", "--output", "out", "--", "make", "-s")["blame"]
    assert [place["cause"] for place in blame["places"]] == ["timestamp", "build-id"]
    assert [remedy.partition(":")[0] for remedy in blame["remedies"]] == ["timestamp"]


def test_report_has_the_place_the_bytes_the_help_and_the_trees(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", "date >out")
    done = repro(project, scratch, "--vary=-all,time", "--output", "out", "--", "make")
    assert done.returncode == 1
    assert "because not requested" in done.stdout
    assert re.search(
        r"out differs by time: \d+ and \d+ bytes\n  file offset 0x\d+: timestamp\n    control: ", done.stdout
    )
    assert "SOURCE_DATE_EPOCH" in done.stdout
    trees = [Path(line.split(" in ")[1]) for line in done.stdout.splitlines() if line.startswith("kept: ")]
    assert len({(tree / "out").read_text() for tree in trees}) == 2


def test_diffoscope_is_given_both(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", "echo $$TZ >out")
    words = ("--vary=-all,timezone", "--diffoscope", "--output", "out", "--", "make")
    done = repro(project, scratch, *words)
    assert done.returncode == 1
    assert "-GMT+12" in done.stdout
    assert "+GMT-14" in done.stdout


def test_diffoscope_that_is_missing_is_one_line(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", "echo >out")
    done = repro(project, scratch, "--diffoscope", "--output", "out", "--", "make", env={"PATH": "/nowhere"})
    assert done.returncode == 1
    assert "diffoscope: is not installed" in one_line(done.stderr)


def test_source_date_epoch_is_honoured(tmp_path: Path, scratch: Path) -> None:
    project = make(
        tmp_path / "project", "echo '__DATE__ __TIME__' | gcc -E - >out; echo $$KBUILD_BUILD_TIMESTAMP >>out"
    )
    words = ("--vary=-all,time", "--output", "out", "--", "make", "-s")
    assert not result(project, scratch, *words)["reproducible"]
    assert result(project, scratch, *words, env={"SOURCE_DATE_EPOCH": "86400"})["reproducible"]


@pytest.mark.usefixtures("namespaces")
def test_user_and_host_are_others(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", "{ id -un; hostname; domainname; echo $$USER; } >out")
    found = result(project, scratch, "--vary=-all,user_group,domain_host", "--output", "out", "--", "make", "-s")
    texts = {build: (Path(tree) / "out").read_text().split() for build, tree in found["kept"].items()}
    own, host = pwd.getpwuid(os.geteuid()).pw_name, "i-capture-the-hostname"
    assert texts["control"] == [own, *tool("hostname").split(), *tool("domainname").split(), own]
    assert texts["user_group"] == ["nobody", *texts["control"][1:3], "nobody"]
    assert texts["domain_host"] == [own, host, host, own]


def test_wrong_table_entry_is_named(tmp_path: Path, scratch: Path) -> None:
    kernel = copy_sample(tmp_path / "kernel")
    with (kernel / "main.c").open("a") as file:
        file.write(
            "#ifdef MORE\nvoid pv_flush_tlb(void); void more(void); void more(void) { pv_flush_tlb(); }\n#endif\n"
        )
    (kernel / "wrapper").write_text('#!/bin/sh\n[ "$TZ" = GMT+12 ] && exec gcc "$@"\nexec gcc -DMORE "$@"\n')
    (kernel / "wrapper").chmod(0o755)
    edit(kernel / "buildplug.toml", ('cc = "gcc"', 'cc = "./wrapper"'))
    found = result(kernel, scratch, "--vary=-all,timezone")
    entries = [
        place["entry"] for blame in found["blame"] for place in blame["places"] if place["part"] == ".bp_paravirt"
    ]
    assert entries
    assert all(entry for entry in entries)
