"""What the link of a small kernel costs besides the linker: modules that are slow to import, and programs started."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import tool
from tests.samples import buildplug, imported, logging_tool

KERNEL = "extern const char bp_ksyms[]; int _start(void) { return bp_ksyms[3]; }"
PARAVIRT = "__attribute__((noipa)) void pv_op(void) {} int caller(void) { pv_op(); return 1; } "
MORE = " int more(void) { return 1; }"
CONFIG = '[kernel]\nname = "k.elf"\n[toolchain]\ncc = "{0}/cc"\nld = "{0}/ld"\n[[table]]\nrule = "ksyms"\n'
SCRIPT = "ENTRY(_start) SECTIONS { . = 1M; .text : { *(.text*) } .rodata : { *(.rodata*) } .data : { *(.data) } }"
TEMPLATES = Path(__file__).parents[2] / "templates" / "tables"
# Each takes as long as the link itself, or longer; no table of symbols needs them.
SLOW = {"numpy.ma", "zipfile", "ninja", "doit", "capstone", "rich", "blake3", "difflib", "argparse"}
SLOW |= {"jinja2", "elftools.elf.elffile"}
OTHERS = {f"buildplug.tables.{name}" for name in ("sites", "fields", "relocs", "kallsyms")}
OTHERS |= {"buildplug.select.references", "buildplug.runtime.fixup", "buildplug.backends.flow"}


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """A folder with the objects of a kernel, and of the kernel changed; programs note their runs in `log`."""
    texts = {"k.c": KERNEL, "changed.c": KERNEL + MORE, "k.lds": SCRIPT, "buildplug.toml": CONFIG.format(tmp_path)}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    for name in ("cc", "ld"):
        logging_tool(tmp_path / name, name, tmp_path / "log")
    tool("gcc", "-O2", "-ffreestanding", "-fno-pie", "-c", "k.c", "changed.c", cwd=tmp_path)
    return tmp_path


def words(kernel: Path, name: str) -> list[str]:
    options = ["--config", str(kernel), "-T", "k.lds", "-z", "noexecstack", "--no-warn-rwx-segments"]
    return ["ld", *options, name, "-o", "k.elf"]


def test_imports_nothing_slow_that_its_tables_do_not_need(kernel: Path) -> None:
    for name in ("k.o", "changed.o"):
        modules = imported(*words(kernel, name), cwd=kernel)
        assert "buildplug.tables.ksyms" in modules
        assert not modules & (SLOW | OTHERS)


@pytest.mark.parametrize(("before", "links"), [("", 1), ("k.o", 1), ("changed.o", 1)])
def test_starts_the_linker_alone(kernel: Path, before: str, links: int) -> None:
    if before:
        assert buildplug(*words(kernel, before), cwd=kernel).returncode == 0
    (kernel / "log").unlink(missing_ok=True)
    assert buildplug(*words(kernel, "changed.o"), cwd=kernel).returncode == 0
    ran = [line.split()[0] for line in (kernel / "log").read_text().splitlines()]
    assert ran == ["ld"] * (links + 1)  # --version


@pytest.mark.parametrize(
    ("flags", "template", "expected"), [("", "", True), ("-DX", "", False), ("", "rows.S.j2", False)]
)
def test_preprocesses_only_what_a_preprocessor_may_change(
    kernel: Path, flags: str, template: str, expected: bool
) -> None:
    text = CONFIG.format(kernel).replace("ksyms", "functions")  # a table that is more than bytes
    (kernel / "buildplug.toml").write_text(f"{text}[compile]\nasflags = {flags.split()}\n")
    (kernel / "k.c").write_text(KERNEL.replace("bp_ksyms", "bp_functions"))
    tool("gcc", "-O2", "-ffreestanding", "-fno-pie", "-c", "k.c", cwd=kernel)
    if template:
        shutil.copy(TEMPLATES / template, kernel)
    done = buildplug(*words(kernel, "k.o"), cwd=kernel)
    assert done.returncode == 0, done.stderr
    ran = [line for line in (kernel / "log").read_text().splitlines() if line.startswith("cc ")]
    assert [" -x assembler " in line for line in ran] == [expected]


@pytest.mark.parametrize("rule", ["ksyms", "functions", "relocs", "paravirt"])
def test_the_image_is_the_same_with_an_assembler_and_a_preprocessor(kernel: Path, rule: str) -> None:
    images = []
    for flags in ("[]", '["-DX"]'):
        text = CONFIG.format(kernel).replace("ksyms", rule)
        (kernel / "buildplug.toml").write_text(f"{text}[compile]\nasflags = {flags}\n")
        (kernel / "k.c").write_text(f"{PARAVIRT}{KERNEL}".replace("bp_ksyms", f"bp_{rule}"))
        tool("gcc", "-O2", "-ffreestanding", "-fno-pie", "-c", "k.c", cwd=kernel)
        (kernel / "k.elf").unlink(missing_ok=True)
        done = buildplug(*words(kernel, "k.o"), cwd=kernel)
        assert done.returncode == 0, done.stderr
        images.append((kernel / "k.elf").read_bytes())
    assert images[0] == images[1]


def test_templates_are_compiled_once(kernel: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    kept = tmp_path_factory.mktemp("pycache")
    env = {"PYTHONPYCACHEPREFIX": str(kept), "PYTHONDONTWRITEBYTECODE": ""}
    with (kernel / "buildplug.toml").open("a") as config:
        config.write('[compile]\nasflags = ["-DX"]\n')  # so that the table becomes text

    def linked() -> bytes:
        (kernel / "k.elf").unlink(missing_ok=True)
        done = buildplug(*words(kernel, "k.o"), cwd=kernel, env=env)
        assert done.returncode == 0, done.stderr
        return (kernel / "k.elf").read_bytes()

    image = linked()
    files = sorted(path for path in kept.rglob("*.pyc") if path.name.startswith("packed.S."))
    stamps = [path.stat().st_mtime_ns for path in files]
    assert stamps
    assert linked() == image
    assert [path.stat().st_mtime_ns for path in files] == stamps
    files[0].write_bytes(b"not bytecode")
    assert linked() == image
    assert files[0].read_bytes() != b"not bytecode"


def test_templates_of_the_user_are_not_kept(kernel: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    kept = tmp_path_factory.mktemp("pycache")
    env = {"PYTHONPYCACHEPREFIX": str(kept), "PYTHONDONTWRITEBYTECODE": ""}
    shutil.copy(TEMPLATES / "packed.S.j2", kernel)
    with (kernel / "buildplug.toml").open("a") as config:
        config.write('[[table]]\nrule = "functions"\n')
    done = buildplug(*words(kernel, "k.o"), cwd=kernel, env=env)
    assert done.returncode == 0, done.stderr
    assert not list(kept.rglob("packed.S.*"))
    assert f"cpython-{sys.version_info[0]}" in str(list(kept.rglob("rows.S.*")))
