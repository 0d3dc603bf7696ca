"""Fixtures: the objects of a program that reads its own table."""

from pathlib import Path

import pytest

from tests.conftest import tool
from tests.ld.programs import CONFIG, PROGRAM, SCRIPT, START


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the objects of a program, a linker script for it and a configuration."""
    folder = tmp_path_factory.mktemp("objects")
    texts = {"program.c": PROGRAM, "start.S": START, "user.lds": SCRIPT, "buildplug.toml": CONFIG}
    texts["extra.c"] = "int extra(int n) { return n + 3; }"
    texts["broken.c"] = "int nowhere(void); int broken(void) { return nowhere(); }"
    for name, text in texts.items():
        (folder / name).write_text(text)
    flags = ("-O2", "-fpie", "-ffreestanding", "-fno-stack-protector", "-fno-asynchronous-unwind-tables")
    tool("gcc", *flags, "-ffunction-sections", "-c", *(name for name in texts if name[-2:] in (".c", ".S")), cwd=folder)
    tool("ar", "rc", "extra.a", "extra.o", cwd=folder)
    return folder


@pytest.fixture
def work(objects: Path, tmp_path: Path) -> Path:
    """A folder to link in, which has links to all of them."""
    for path in objects.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


@pytest.fixture(params=["", "1"], ids=["foretold", "relinked"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test is for one link, if the tables' room is known from the inputs, and for two."""
    monkeypatch.setenv("BUILDPLUG_RELINK", request.param)


@pytest.fixture
def relinked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test is about shows only if there are two links."""
    monkeypatch.setenv("BUILDPLUG_RELINK", "1")
