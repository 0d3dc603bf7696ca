"""Reproducible builds verified: a clean kernel passes, and each planted fault is found, blamed and named."""

import hashlib
import json
import os
import pwd
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from buildplug.vary import VARIATIONS
from tests import faulty
from tests.conftest import tool
from tests.faulty import FAULTS, Fault
from tests.samples import buildplug, copy_sample, edit, one_line

NAMES = {variation.name for variation in VARIATIONS}


def tree_digest(folder: Path) -> str:
    """A digest of all files of a folder, their modes and times."""
    rows = []
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        rows.append((str(path.relative_to(folder)), status.st_mode, status.st_mtime_ns, content))
    return hashlib.sha256(repr(rows).encode()).hexdigest()


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where builds of a test make their temporary folder."""
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def repro(
    project: Path, scratch: Path, *words: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return buildplug("repro", project, *words, env={"TMPDIR": str(scratch)} | (env or {}), timeout=1200)


def result(project: Path, scratch: Path, *words: str | Path, env: dict[str, str] | None = None) -> dict[str, Any]:
    """The result of a comparison that ends, as JSON."""
    before, command = words, words[:0]
    if "--" in words:
        mark = words.index("--")
        before, command = words[:mark], words[mark:]
    done = repro(project, scratch, *before, "--json", *command, env=env)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["reproducible"] else 1)
    if not found["reproducible"]:
        assert "expected the same bytes" in one_line(done.stderr)
    return found


def make(folder: Path, recipe: str) -> Path:
    """A project that `make` builds an output `out` of, by a shell recipe."""
    folder.mkdir()
    (folder / "Makefile").write_text(f"out:\n\t{recipe}\n")
    return folder


def assert_nothing_is_left(scratch: Path) -> None:
    assert list(scratch.iterdir()) == []
    assert str(scratch) not in Path("/proc/mounts").read_text()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:  # it has ended
            continue
        assert str(scratch).encode() not in environment


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The sample kernel under every variation."""
    scratch = tmp_path_factory.mktemp("scratch")
    kernel = copy_sample(tmp_path_factory.mktemp("clean") / "kernel")
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
    kernel = copy_sample(tmp_path / "elsewhere")
    assert buildplug("build", kernel).returncode == 0
    digest = hashlib.sha256((kernel / "build" / "vmlinux").read_bytes()).hexdigest()
    assert clean["outputs"] == {"build/vmlinux": digest}


def test_distcc_and_ccache_really_work_for_the_sample_kernel(clean: dict[str, Any]) -> None:
    notes = {verdict["variation"]: verdict["note"] for verdict in clean["variations"] if verdict["note"]}
    sources = len(list(Path("sample_kernel").glob("*.c")))
    counts = {name: int(re.fullmatch(r"(\d+) [a-z ]+", note)[1]) for name, note in notes.items()}  # type: ignore[index]
    assert counts["launcher"] >= sources
    assert counts["cache"] >= sources


def test_a_compiler_that_path_does_not_find_is_said_not_to_be_varied(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", "echo 1 >out")
    found = result(project, scratch, "--vary=-all,launcher,cache", "--output", "out", "--", "make")
    assert found["reproducible"]
    assert {name for name, why in found["not_varied"].items() if "it takes a compiler" in why} == {"launcher", "cache"}
    assert found["variations"] == []


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
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


def test_report_has_the_place_the_bytes_the_help_and_the_trees(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", "date >out")
    done = repro(project, scratch, "--vary=-all,time", "--output", "out", "--", "make")
    assert done.returncode == 1
    assert "because nobody asked for it" in done.stdout
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


@pytest.mark.parametrize(
    ("words", "said", "status"),
    [
        (
            ["--vary=timezome", "--output", "out", "--", "make"],
            "unknown variation 'timezome'; did you mean 'timezone'?",
            1,
        ),
        (["--vary=time.faketimes=1", "--output", "out", "--", "make"], "unknown variation", 1),
        (["--", "make"], "expected --output", 2),
        (["--output", "/etc/passwd", "--", "make"], "expected a path in the project", 2),
        (["--output", "../x", "--", "make"], "expected a path in the project", 2),
        (["--output", "none", "--vary=-all", "--", "true"], "none: expected an output of that name, found none", 1),
        (["--output", "out", "--vary=-all", "--", "false"], "the control build: false: build failed", 1),
        (["--output", "out", "--vary=-all", "--", "no-such-tool"], "no-such-tool: cannot be run", 1),
        (["--vary=input_order", "--output", "out", "--", "make"], "input_order cannot be varied", 1),
    ],
)
def test_wrong_usage_is_one_line(tmp_path: Path, scratch: Path, words: list[str], said: str, status: int) -> None:
    project = make(tmp_path / "project", "echo >out")
    done = repro(project, scratch, *words)
    assert done.returncode == status
    assert said in one_line(done.stderr)


def test_build_that_fails_in_a_variation_names_it(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", "cd $$HOME && cd $(CURDIR) && echo >out")
    before = tree_digest(project)
    done = repro(project, scratch, "--vary=-all,umask,home,timezone", "--output", "out", "--", "make")
    assert done.returncode == 1
    assert "nonexistent" in done.stderr
    line = one_line(done.stderr)
    assert "the build with home varied: make: build failed with exit status 2" in line
    assert "--vary=-home leaves it out" in line
    assert tree_digest(project) == before
    assert_nothing_is_left(scratch)


def test_output_that_a_variation_lacks_is_one_line(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", 'touch "out$$TZ"')
    done = repro(project, scratch, "--vary=-all,timezone", "--output", "out*", "--", "make")
    assert "outGMT+12: expected in every build, found only in the control" in one_line(done.stderr)


def test_output_behind_a_link_out_of_the_project_is_left_alone(tmp_path: Path, scratch: Path) -> None:
    project = make(tmp_path / "project", "echo >elsewhere/out")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "out").write_text("mine")
    (project / "elsewhere").symlink_to(tmp_path / "elsewhere")
    done = repro(project, scratch, "--vary=-all", "--output", "elsewhere/out", "--", "make")
    assert "behind a symbolic link" in one_line(done.stderr)
    assert (tmp_path / "elsewhere" / "out").read_text() == "mine"


@pytest.mark.parametrize("room", ["16k", "1m"], ids=["for no copy", "for no build"])
def test_no_room_is_one_line(tmp_path: Path, room: str) -> None:
    project = make(tmp_path / "project", "head -c 2000000 /dev/zero >out")
    (project / "source").write_bytes(bytes(100000))
    before, disk = tree_digest(project), tmp_path / "disk"
    disk.mkdir()
    # A small disk of our own, in a namespace that goes with us.
    script = f'mount -t tmpfs -o size={room} none "$TMPDIR" && "$@"; status=$?; ls -A "$TMPDIR"; exit $status'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", sys.executable, "-m", "buildplug",
         "repro", str(project), "--vary=-all", "--output", "out", "--", "make"],
        env=os.environ | {"TMPDIR": str(disk)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    one_line(done.stderr)
    assert done.stdout == ""
    assert tree_digest(project) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_leaves_nothing(tmp_path: Path, scratch: Path, number: signal.Signals) -> None:
    mark = tmp_path / "building"
    project = make(
        tmp_path / "project", f'[ "$$TZ" = GMT+12 ] || {{ touch {mark}; sleep 100 & sleep 100; }}; echo >out'
    )
    before = tree_digest(project)
    process = subprocess.Popen(
        [sys.executable, "-m", "buildplug", "repro", project, "--output", "out",
         "--vary=-all,timezone,fileordering,launcher,time,user_group,domain_host", "--", "make"],
        env=os.environ | {"TMPDIR": str(scratch)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not mark.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    process.send_signal(number)  # whoever is impatient
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"interrupted by {number.name}" in one_line(said)
    assert_nothing_is_left(scratch)
    assert tree_digest(project) == before


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
