"""Runs of `buildplug repro` on small projects, and what they must not leave."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from tests.samples import buildplug, one_line


def tree_digest(folder: Path) -> str:
    """A digest of all files of a folder, their modes and times."""
    rows = []
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        rows.append((str(path.relative_to(folder)), status.st_mode, status.st_mtime_ns, content))
    return hashlib.sha256(repr(rows).encode()).hexdigest()


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
