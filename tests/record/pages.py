"""A build's record with two links of it, and a reader of the report's pages."""

import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from buildplug.record.build import RECORD
from tests.conftest import tool

VOID = {"br", "meta"}
HOSTILE = '<script>alert("&amp;")</script>' + 100 * "W"


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
