"""Copies of the sample kernel to build, and the command line as a user runs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

SAMPLE = Path(__file__).resolve().parent.parent / "sample_kernel"


def copy_sample(to: Path) -> Path:
    """The sample kernel's sources in a folder of their own."""
    shutil.copytree(SAMPLE, to, ignore=shutil.ignore_patterns("build", "__pycache__", "*.py"))
    return to


def buildplug(
    *words: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Runs the command; its output and status. It is killed if it takes more than `timeout` seconds."""
    return subprocess.run(
        [sys.executable, "-m", "buildplug", *map(str, words)], cwd=cwd, env=os.environ | (env or {}),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def imported(*words: str | Path, cwd: Path | None = None) -> set[str]:
    """The modules that a command imports, as Python says."""
    command = [sys.executable, "-X", "importtime", "-m", "buildplug", *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def built(folder: Path, *words: str | Path, **options: Any) -> dict[str, Any]:
    """Builds the kernel in a folder; the record. Fails the test if the build fails."""
    done = buildplug("build", folder, "--json", *words, **options)
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def edit(path: Path, *changes: tuple[str, str]) -> None:
    """Replaces text in a file; each text must be there."""
    text = path.read_text()
    for old, new in changes:
        assert old in text, f"{path}: {old!r}"
        text = text.replace(old, new)
    path.write_text(text)


def logging_tool(path: Path, tool: str, log: Path) -> Path:
    """A program at `path` that notes each of its runs in `log` and becomes `tool`."""
    real = shutil.which(tool)
    path.write_text(f'#!/bin/sh\necho "{tool} $*" >>"{log}"\nexec "{real}" "$@"\n')
    path.chmod(0o755)
    return path


def one_line(error: str) -> str:
    """The error message of a command, which must be one line."""
    lines = [line for line in error.splitlines() if line.startswith("buildplug: ")]
    assert len(lines) == 1, error
    assert "Traceback" not in error
    return lines[0]
