"""Names that ninja cannot say are refused in one line, before anything is compiled."""

from pathlib import Path

import pytest

from tests.samples import buildplug, one_line


@pytest.mark.parametrize("name", ["a|b.c", "a\nb.c", "\x7f.c"])
def test_a_source(kernel: Path, name: str) -> None:
    (kernel / name).write_text("")
    done = buildplug("build", kernel)
    assert done.returncode == 1
    assert f"expected a plain name, found {name!r}; rename the file" in one_line(done.stderr)


@pytest.mark.parametrize("name", ["a$b.c", "a b.c", "a:b.c", "a'b.c"])
def test_other_names_are_compiled(kernel: Path, name: str) -> None:
    (kernel / name).write_text("int odd = 1;\n")
    assert buildplug("build", kernel).returncode == 0
    assert (kernel / "build" / "obj" / f"{name}.o").exists()


def test_the_folder_of_the_project(kernel: Path) -> None:
    kernel = kernel.rename(kernel.with_name("a\nb"))
    done = buildplug("build", ".", cwd=kernel)
    assert done.returncode == 1
    assert one_line(done.stderr).endswith("expected a folder whose path has no newline; rename it")
