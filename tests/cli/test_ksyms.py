"""`buildplug ksyms` reads an image as data: nothing of the current folder is run."""

from pathlib import Path

from tests.conftest import Written
from tests.elfwriter import ALLOC, EXEC, FUNC, File, Section, Symbol
from tests.samples import buildplug


def test_templates_of_the_current_folder_are_not_rendered(written: Written, tmp_path: Path) -> None:
    image = written(File([Section(".text", bytes(16), 0x1000, ALLOC | EXEC)], [Symbol("_text", 0x1000, 16, FUNC)]))
    (tmp_path / "kallsyms.S.j2").write_text("not ours")
    done = buildplug("ksyms", image, "--format", "kallsyms", cwd=tmp_path)
    assert "not ours" not in done.stdout
    assert "kallsyms_num_syms" in done.stdout
