"""The report: its figures are the record's and the images', its page is whole, alone and drawn to scale."""

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from buildplug.arch.x86 import X86_64
from buildplug.base.errors import BuildplugError
from buildplug.config.ops import read
from buildplug.image.headers import Array
from buildplug.record import report
from buildplug.record.report import RECORD, BuildReport
from tests.conftest import SCRIPT, tool
from tests.samples import buildplug, copy_sample, edit, one_line
from tests.samples import built as build

VOID = {"br", "meta"}
HOSTILE = '<script>alert("&amp;")</script>' + 100 * "W"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kernel that has been built. Not to be changed."""
    kernel = copy_sample(tmp_path_factory.mktemp("report") / "kernel")
    build(kernel)
    return kernel


@pytest.fixture(scope="module")
def record(built: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((built / "build" / f"vmlinux{RECORD}").read_text())
    return found


@pytest.fixture(scope="module")
def page(built: Path) -> str:
    return report.html([report.read(built)])


@dataclass(frozen=True)
class Links:
    """Two links and the record that speaks of them."""

    folder: Path
    record: dict[str, Any]

    def write(self, **changes: object) -> Path:
        """Writes the record, changed."""
        path = self.folder / f"vmlinux{RECORD}"
        path.write_text(json.dumps(self.record | changes))
        return path


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Links:
    """A draft and a final with big sections; in the final .rodata is longer, so that what is behind it moves."""
    folder = tmp_path_factory.mktemp("links")
    (folder / "kernel.lds").write_text(SCRIPT % 0x1000000)
    for name, length in (("vmlinux.draft", 0x8000), ("vmlinux", 0x18000)):
        (folder / "in.S").write_text(
            f".text\n.space 0x30000, 0x90\n.section .rodata\n.space {length}, 1\n.data\n.space 0x20000, 2\n"
            f'.bss\n.space 0x10000\n.section {json.dumps(HOSTILE)}, "aw"\n.space 64, 3\n'
            '.section .note.GNU-stack, "", @progbits\n'
        )
        tool("gcc", "-c", "in.S", "-o", "in.o", cwd=folder)
        tool("ld", "--emit-relocs", "-e", "0", "-T", "kernel.lds", "in.o", "-o", name, cwd=folder)
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("vmlinux", "vmlinux.draft")}
    record = {
        "buildplug": "1", "image": "vmlinux", "arch": "x86_64", "links": 2, "tables": {}, "rewritten": [],
        "moved": [".data: byte +0x10 differs"], "inputs": {HOSTILE: "0"}, "outputs": digests, "tools": {"gcc": ""},
        "seconds": {"compile": 0.5, "draft": 0.25},
    }  # fmt: skip
    return Links(folder, record)


def sections(image: Path) -> dict[str, tuple[int, int]]:
    """Address and size of sections, as readelf has them."""
    rows = re.findall(r"\] (\S+) +\w+ +([0-9a-f]{16}) [0-9a-f]+ ([0-9a-f]+)", tool("readelf", "-SW", image))
    return {name: (int(address, 16), int(size, 16)) for name, address, size in rows if int(address, 16)}


class Reader(HTMLParser):
    """Notes tags and attributes; fails on a tag that does not close in its place."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_is_whole_and_needs_nothing_else(page: str) -> None:
    tags = Reader(page).tags
    attributes = {name for _, attrs in tags for name in attrs}
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "object", "embed", "use", "image", "a"}
    assert not {name for name in attributes if name.startswith("on") or name in ("src", "href", "xlink:href", "action")}
    assert not re.search(r"https?:|//|url\(|@import", page)


def test_page_has_the_figures_of_the_record(page: str, record: dict[str, Any]) -> None:
    text = " ".join(Reader(page).text.split())
    for name, table in record["tables"].items():
        assert f"{name}{table['section']}{table['rows']:,}{table['bytes']:,}" in text.replace(" ", "")
    for name, seconds in record["seconds"].items():
        assert f"{name}{seconds:.3f}" in text.replace(" ", "")
    assert f"Links that made this image: {record['links']}." in text
    for name, digest in (record["inputs"] | {"": record["outputs"]["vmlinux"]}).items():
        assert name in text
        assert digest in text


def test_page_has_each_section_as_readelf_does(page: str, built: Path) -> None:
    text = Reader(page).text
    for image in ("vmlinux", "vmlinux.draft"):
        for name, (address, size) in sections(built / "build" / image).items():
            assert f"{name}: {address:#x}, {size:,} bytes" in text


def test_page_is_the_same_for_the_same_build(page: str, built: Path) -> None:
    assert page == report.html([report.read(built / "build" / f"vmlinux{RECORD}")])


def test_calls_of_ops_are_as_many_as_objdump_shows(built: Path) -> None:
    calls = re.findall(r"\bcall +[0-9a-f]+ <(\w+)>", tool("objdump", "-d", built / "build" / "vmlinux"))
    found = report.read(built)
    assert isinstance(found, BuildReport)
    sites = found.sites["paravirt"].ops
    ops = read(built / "paravirt.toml", X86_64).ops
    functions = {name: op.function for name, op in ops.items() if op.function}
    assert {name: sites[name]["call"] for name in functions} == {n: calls.count(f) for n, f in functions.items()}


def test_summary_has_links_tables_sites_moves_and_seconds(built: Path, record: dict[str, Any]) -> None:
    done = buildplug("report", built)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    table = record["tables"]["paravirt"]
    assert f"vmlinux, x86_64: 2 links, {len(record['tables'])} tables, {table['rows']} sites" in lines
    assert f"paravirt {table['rows']} rows {table['bytes']} bytes in .bp_paravirt" in lines
    assert {f"{name} {seconds:.3f}" for name, seconds in record["seconds"].items()} <= set(lines)
    before, after = (sections(built / "build" / name)[".bss"] for name in ("vmlinux.draft", "vmlinux"))
    assert f".bss {after[0] - before[0]:+#x}" in lines
    assert len(done.stderr) == 0


def test_json_has_what_the_page_has(built: Path, record: dict[str, Any]) -> None:
    (told,) = json.loads(buildplug("report", built, "--json").stdout)
    assert told["record"]["links"] == record["links"]
    assert {s["name"]: tuple(s["final"]) for s in told["sections"]} == sections(built / "build" / "vmlinux")


def test_page_of_several_has_each(built: Path, links: Links, tmp_path: Path) -> None:
    done = buildplug("report", built, links.write(), "-o", tmp_path / "page.html")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert [tag for tag, _ in Reader((tmp_path / "page.html").read_text()).tags].count("article") == 2


def test_names_are_text_whatever_they_hold(links: Links) -> None:
    page = report.html([report.read(links.write(tools={"\x1b[31m\u202e</style><b>": "<i>\n"}))])
    reader = Reader(page)
    assert not {tag for tag, _ in reader.tags} & {"script", "b", "i"}
    assert HOSTILE in reader.text
    said = buildplug("report", links.write(seconds={"\x1b[31m": 1.0})).stdout
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"links": "2"}, "links: expected an integer, found '2'"),
        ({"image": "../vmlinux"}, "expected the name of a file beside it"),
        ({"image": "other"}, "other.draft: cannot be read"),
        ({"outputs": {}}, "expected the file that vmlinux.buildplug.json speaks of"),
        ({"tables": {"x": {"rows": 1}}}, "tables.x: expected the key 'symbol'"),
        ({"tables": {"x": {"symbol": "s", "section": ".text", "rows": 1, "bytes": 1, "ops": ["a"]}}}, "bad_magic"),
        ({"tables": {"x": {"symbol": "s", "section": ".no", "rows": 1, "bytes": 1, "ops": ["a"]}}}, "section .no"),
        ({"seconds": {"compile": None}}, "expected a number, found None"),
    ],
)
def test_record_that_is_wrong_is_one_line(links: Links, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BuildplugError) as error:
        report.read(links.write(**changes))
    assert says in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", "nul", "[" * 100000, "\0"])
def test_text_that_is_no_record_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(text)
    failed = buildplug("report", tmp_path / "record.json")
    assert failed.returncode == 1
    one_line(failed.stderr)


def test_configuration_without_a_build_says_so(tmp_path: Path) -> None:
    failed = buildplug("report", copy_sample(tmp_path / "kernel"))
    assert failed.returncode == 1
    assert "expected the record of a build, found none; build first" in one_line(failed.stderr)


def test_image_that_was_changed_since_is_refused(built: Path, tmp_path: Path) -> None:
    kernel = Path(shutil.copytree(built, tmp_path / "kernel"))
    with (kernel / "build" / "vmlinux").open("ab") as file:
        file.write(b"?")
    assert "expected the file that vmlinux.buildplug.json speaks of" in one_line(buildplug("report", kernel).stderr)


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


# In a browser.


@dataclass(frozen=True)
class Shot:
    """What a browser shows of a page: pixels (rows, columns, RGB), and the page's colours by their names."""

    pixels: Array
    colours: dict[str, Array]

    def where(self, colour: str) -> Array:
        """Where the pixels of a colour are, shape (rows, columns)."""
        return np.asarray((self.pixels == self.colours[colour]).all(axis=2))


def shown(page: str, folder: Path, width: int) -> Shot:
    """Has Chromium draw a page."""
    folder.mkdir(exist_ok=True)
    (folder / "page.html").write_text(page)
    tool(
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--force-device-scale-factor=1",
        "--force-color-profile=srgb", "--blink-settings=preferredColorScheme=1", f"--user-data-dir={folder}/profile",
        f"--window-size={width},2400", f"--screenshot={folder / 'shot.png'}", f"file://{folder / 'page.html'}",
    )  # fmt: skip
    found = re.findall(r"--([\w-]+): #(\w{6});", page.partition("@media")[0])
    colours = {name: np.array(list(bytes.fromhex(value)), "u1") for name, value in found}
    with Picture.open(folder / "shot.png") as picture:
        return Shot(np.asarray(picture.convert("RGB")), colours)


@pytest.fixture(scope="module")
def shot(links: Links, tmp_path_factory: pytest.TempPathFactory) -> Shot:
    return shown(report.html([report.read(links.write())]), tmp_path_factory.mktemp("shot"), 1100)


@pytest.fixture(scope="module")
def columns(shot: Shot) -> tuple[int, int]:
    """The columns of pixels through the middle of draft and final."""
    count = shot.where("code").sum(axis=0)
    wide = np.flatnonzero(count > count.max() / 2)
    groups = np.split(wide, np.flatnonzero(np.diff(wide) > 1) + 1)
    assert len(groups) == 2
    return int(groups[0].mean()), int(groups[1].mean())


@pytest.mark.parametrize(("side", "image"), [(0, "vmlinux.draft"), (1, "vmlinux")])
def test_bars_have_the_proportions_of_the_sections(
    shot: Shot, columns: tuple[int, int], links: Links, side: int, image: str
) -> None:
    found = sections(links.folder / image)
    sizes = {"code": found[".text"][1], "constants": found[".rodata"][1], "data": found[".data"][1]}
    heights = {colour: int(shot.where(colour)[:, columns[side]].sum()) for colour in sizes}
    scale = heights["code"] / sizes["code"]
    assert scale * 0x8000 > 20  # pixels, so that a few of them do not hide an error
    assert heights == pytest.approx({colour: size * scale for colour, size in sizes.items()}, abs=3)


def test_what_moved_is_drawn_where_it_moved_to(shot: Shot, columns: tuple[int, int], links: Links) -> None:
    draft, final = (sections(links.folder / name) for name in ("vmlinux.draft", "vmlinux"))
    rows = [np.flatnonzero(shot.where("data")[:, column]) for column in columns]
    scale = len(np.flatnonzero(shot.where("code")[:, columns[0]])) / draft[".text"][1]
    assert rows[1].min() - rows[0].min() == pytest.approx((final[".data"][0] - draft[".data"][0]) * scale, abs=3)
    middle = sum(columns) // 2
    assert shot.where("ribbon-moved")[rows[1].min() : rows[0].max(), middle].all()
    code = np.flatnonzero(shot.where("code")[:, columns[0]])
    assert shot.where("ribbon")[code.min() + 2 : code.max() - 2, middle].all()


def test_nothing_reaches_the_margins(shot: Shot, links: Links, tmp_path: Path) -> None:
    """Not of the page, however narrow; and, with a name that is too long, not of the map, which would cut it off."""
    narrow = shown(report.html([report.read(links.write())]), tmp_path / "narrow", 500)
    for picture, margin in ((shot, (1100 - 960) // 2), (narrow, 16)):
        blank = picture.where("page")
        assert not blank.all()
        assert blank[:, :margin].all()
        assert blank[:, -margin:].all()
    code, zeros = (np.flatnonzero(shot.where(colour).any(axis=1)) for colour in ("code", "zeros"))
    in_map = shot.where("page")[code.min() + 40 : zeros.max()]  # below the legend
    assert in_map[:, :74].all()
    assert in_map[:, -74:].all()


def test_labels_stand_apart(shot: Shot, columns: tuple[int, int]) -> None:
    """Between two lines of labels there is a row of pixels without any ink but that of the lines that lead to them."""
    code = np.flatnonzero(shot.where("code")[:, columns[0]])
    bottom = np.flatnonzero(shot.where("zeros")[:, columns[1]]).max()
    labels = shot.pixels[code.min() : bottom, 80 : columns[0] - 90].astype(int)
    inked = np.flatnonzero((labels.sum(axis=2) < 300).any(axis=1))
    starts = [b for a, b in pairwise([-9, *inked.tolist()]) if b - a > 1]
    assert len(starts) >= 5  # sections, each with its own line


def test_sections_of_a_kernel_are_all_labelled(page: str, built: Path) -> None:
    text = Reader(page.partition('class="map"')[2].partition("</svg>")[0]).text
    for name in sections(built / "build" / "vmlinux"):
        assert len(re.findall(rf"^{re.escape(name)} ", text, re.M)) == 2


def test_moved_table_is_told(tmp_path: Path) -> None:
    """A linker that moves data inside a section: the table is rewritten, and the report says what and why."""
    kernel = copy_sample(tmp_path / "kernel")
    edit(
        kernel / "kernel.lds",
        ("ADDR(.data) - kernel_base) ALIGN(4096)", "ADDR(.data) - kernel_base) ALIGN(16) SUBALIGN(16)"),
        ("data_start = .;", "data_start = .; QUAD(0) . = ALIGN(4096);"),
    )
    edit(kernel / "buildplug.toml", ('"--fatal-warnings"', '"--no-warn-rwx-segments"'))
    record = build(kernel)
    assert record["rewritten"]
    text = Reader(report.html([report.read(kernel)])).text
    assert text.count("rewritten in place") == len(record["rewritten"])
    assert "parts moved: " in buildplug("report", kernel).stdout
