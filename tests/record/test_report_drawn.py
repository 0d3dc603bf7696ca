"""The report in a browser: it is drawn to scale, and its labels stand apart."""

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from buildplug.image.headers import Array
from buildplug.record import report
from tests.conftest import tool
from tests.record.pages import Links, Reader, sections

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
