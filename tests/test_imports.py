"""The packages import one way: each only from those before it in ORDER, and from itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "buildplug"
# A package knows those before it. A new one gets its place here.
ORDER = (
    "base", "native", "arch", "image", "config", "select", "linker", "tables", "backends", "runtime", "stage", "record",
    "pipeline", "ld", "linux", "repro", "cli",
)  # fmt: skip


def imported(path: Path) -> Iterator[str]:
    """The modules of buildplug that a file imports, wherever in it, type checking included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "buildplug":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("buildplug"))


def test_order_names_every_package() -> None:
    assert sorted(ORDER) == sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


@pytest.mark.parametrize("package", ORDER)
def test_package_imports_only_from_those_before_it(package: str) -> None:
    allowed = {"__version__", *ORDER[: ORDER.index(package) + 1]}
    for path in sorted((PACKAGE / package).rglob("*.py")):
        for name in imported(path):
            assert name.split(".")[1] in allowed, f"{path.relative_to(PACKAGE)} imports {name}"


@pytest.mark.parametrize("package", ORDER)
def test_package_says_what_it_knows_and_what_not(package: str) -> None:
    text = ast.get_docstring(ast.parse((PACKAGE / package / "__init__.py").read_text()))
    assert text
    assert len(text.splitlines()) >= 3
