"""README.md and docs/: their links lead somewhere, what they name exists, and the recipes work as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from buildplug.cli.main import COMMANDS
from sample_kernel.boot import EXIT_OK, boot
from tests.test_imports import ORDER

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text()
INTERNALS = (ROOT / "docs" / "internals.md").read_text()
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"^(?:# |/\* )([\w.]+\.\w+)(?: \*/)?\n", re.MULTILINE)  # of the file that follows
RECIPES = README.partition("\n## Recipes\n")[2].partition("\n## ")[0].split("\n**")[1:]
KERNEL = ROOT / "tests" / "recipe_kernel"
START = ROOT / "tests" / "foreign_kernels" / "common" / "start.S"
PRINTS = (
    r"work\+0x\w+/0x\w+\nkernel_main\+0x\w+/0x\w+\nupper\+0x\w+/0x0\n",
    "tick\nspin\n",
    "hypercall\n",
)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", BLOCK.sub("", page.read_text())):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    named = re.findall(r"(?:`|^\$ |\$\()buildplug ([a-z]+)", page.read_text(), re.MULTILINE)
    assert set(named) <= set(COMMANDS)


def test_every_command_has_its_line() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    assert [name for name in COMMANDS if f"`buildplug {name}" not in page] == []


def test_internals_names_every_package() -> None:
    assert [name for name in ORDER if f"`{name}/`" not in INTERNALS] == []


def test_paths_in_internals_exist() -> None:
    paths = re.findall(r"`([\w./]+(?:\.\w+|/))`", INTERNALS)
    folders = (ROOT, ROOT / "buildplug")
    assert [path for path in paths if "/" in path and not any((f / path).exists() for f in folders)] == []


@pytest.mark.parametrize("count", range(1, len(PRINTS) + 1))
def test_recipe_builds_and_boots(tmp_path: Path, count: int) -> None:
    """Each recipe adds to those before it; the commands are the first one's."""
    for path in (*KERNEL.iterdir(), START):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    blocks = [block for recipe in RECIPES[:count] for block in BLOCK.findall(recipe)]
    for _, text in (block for block in blocks if block[0] in ("toml", "c")):
        before, *parts = NAME.split(text)
        assert not before
        for name, content in zip(parts[::2], parts[1::2], strict=True):
            with (tmp_path / name).open("a") as file:
                file.write(content)
    commands = re.findall(r"^\$ (.+)$", "".join(text for kind, text in blocks if kind == "console"), re.MULTILINE)
    script = "\n".join([f'buildplug() {{ {sys.executable} -m buildplug "$@"; }}', "set -e", *commands])
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    status, output = boot(tmp_path / "vmlinux", "")
    assert status == EXIT_OK
    assert re.fullmatch("".join(PRINTS[:count]), output), output
