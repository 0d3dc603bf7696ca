"""The report of rebuilds in varied surroundings."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from buildplug.record import report
from tests.record.pages import Reader
from tests.samples import buildplug, one_line

REBUILDS: dict[str, Any] = {
    "command": ["buildplug", "build"],
    "outputs": {"build/vmlinux": "ab" * 32, "build/<b>map": "cd" * 32},
    "variations": [
        {"variation": "time", "about": "the clock", "same": False, "note": "3 files later"},
        {"variation": "umask", "about": "0002 for 0022", "same": True, "note": ""},
    ],
    "not_varied": {"fileordering": "/dev/fuse cannot be opened"},
    "blame": [
        {
            "variations": ["time"], "build": "time", "output": "build/vmlinux", "sizes": [9, 9], "more": 3,
            "remedies": ["timestamp: leave the time out"],
            "places": [
                {
                    "part": ".rodata", "symbol": "banner+0x1c", "entry": "", "offset": 17436, "length": 7,
                    "varied_offset": 17436, "control": "30 33", "varied": "31 34", "cause": "timestamp",
                    "texts": ["Nov 23 03:40", "Dec 01 <i>"],
                },
                {
                    "part": "", "symbol": "", "entry": "", "offset": 16, "varied_offset": 16, "length": 1,
                    "control": "00", "varied": "01", "texts": ["", ""], "cause": "",
                },
            ],
        },
    ],
    "kept": {}, "reproducible": False,
}  # fmt: skip


def rebuilds(folder: Path, **changes: object) -> Path:
    """What repro printed, changed, in a file."""
    (folder / "result.json").write_text(json.dumps(REBUILDS | changes))
    return folder / "result.json"


def test_page_of_rebuilds_has_variations_results_and_differences(tmp_path: Path) -> None:
    reader = Reader(report.html([report.read(rebuilds(tmp_path))]))
    assert not {tag for tag, _ in reader.tags} & {"b", "i"}
    text = "".join(reader.text.split())
    assert "timetheclock3fileslaterdiffer" in text
    assert "umask0002for0022thesame" in text
    assert "fileordering/dev/fusecannotbeopenednotvaried" in text
    assert "build/<b>mapthesamecdcd" in text
    assert "build/vmlinuxdiffersabab" in text
    assert ".rodata,banner+0x1cfileoffset0x441ctimestamp3033Nov2303:403134Dec01<i>" in text
    assert "fileoffset0x10notknown0001" in text
    assert "and3placesmore" in text
    assert "timestamp:leavethetimeout" in text


@pytest.mark.parametrize(
    ("not_varied", "line"),
    [
        ({}, "not varied: nothing"),
        (
            {"home": "no", "time": "no", "aslr": "other"},
            "not varied: home, time because no\nnot varied: aslr because other",
        ),
    ],
)
def test_summary_always_says_what_was_not_varied(tmp_path: Path, not_varied: dict[str, str], line: str) -> None:
    assert line in report.summary(report.read(rebuilds(tmp_path, not_varied=not_varied)))


def test_page_of_rebuilds_that_are_the_same_blames_nothing(tmp_path: Path) -> None:
    text = Reader(report.html([report.read(rebuilds(tmp_path, blame=[]))])).text
    assert "Differences" not in text
    assert "differs" not in text.partition("Outputs")[2].partition("Variations")[0]


def test_rebuilds_are_told_as_repro_told_them(tmp_path: Path) -> None:
    """The real result of repro: the same lines, and the same JSON, again."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "Makefile").write_text("out:\n\techo $$TZ >out\n")
    words = ("repro", tmp_path / "project", "--vary=-all,timezone,umask", "--output", "out")
    texts: list[str] = []
    for options in ((), ("--json",)):
        (tmp_path / f"scratch{len(texts)}").mkdir()
        done = buildplug(*words, *options, "--", "make", env={"TMPDIR": str(tmp_path / f"scratch{len(texts)}")})
        assert done.returncode == 1, done.stderr
        texts.append(re.sub(r"/scratch\d/buildplug-repro-\w+", "", done.stdout))
    (tmp_path / "result.json").write_text(texts[1])
    assert buildplug("report", tmp_path / "result.json").stdout == texts[0]
    (told,) = json.loads(buildplug("report", tmp_path / "result.json", "--json").stdout)
    assert told | {"reproducible": False} == json.loads(texts[1])
    page = "".join(Reader(report.html([report.read(tmp_path / "result.json")])).text.split())
    assert "timezoneTZ,26hoursapartdiffer" in page
    assert "umask0002for0022thesame" in page
    assert "outdiffersbytimezone" in page
    assert "timestamp" in page


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"outputs": []}, "outputs: expected a table, found []"),
        ({"variations": [{"variation": "time"}]}, "variations[0]: expected the key 'about'"),
        ({"blame": [{"variations": [], "output": "x", "places": [{"part": ""}]}]}, "expected the key 'symbol'"),
        ({"blame": [{"sizes": [1]}]}, "sizes: expected a list of 2, found 1"),
        ({"blame": [{"variations": [], "output": "x", "places": 1}]}, "places: expected a list, found 1"),
    ],
)
def test_result_that_is_wrong_is_one_line(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    failed = buildplug("report", rebuilds(tmp_path, **changes))
    assert failed.returncode == 1
    assert says in one_line(failed.stderr)
