"""A build after a change links once if the tables fit into the room of the previous ones; its image is the same."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from buildplug.stage.passes import FITS
from tests.conftest import tool
from tests.samples import buildplug, built, copy_sample, edit

CHANGE = '\n__asm__(".pushsection .data; .quad 7; .popsection");\n'  # no symbol, as the room may be full


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kernel that has been built, by the linker of its configuration. Not to be changed."""
    kernel = copy_sample(tmp_path_factory.mktemp("before") / "kernel")
    edit(kernel / "buildplug.toml", ("--build-id=none", "--build-id=sha1"))
    assert built(kernel)["why"] == "nothing was linked here before"
    return kernel


@pytest.fixture
def kernel(before: Path, tmp_path: Path) -> Path:
    """A copy of it, with the times of its files."""
    return Path(shutil.copytree(before, tmp_path / "kernel"))


def change(kernel: Path, text: str = CHANGE) -> None:
    with (kernel / "main.c").open("a") as file:
        file.write(text)


def test_change_that_needs_no_more_room_takes_one_link_for_the_same_outputs(kernel: Path) -> None:
    built(kernel)
    change(kernel)
    provenance = kernel.parent / "provenance.json"
    record = built(kernel, f"--provenance={provenance}")
    assert (record["links"], record["why"]) == (1, FITS)
    said = provenance.read_bytes()
    shutil.rmtree(kernel / "build")
    anew = built(kernel, f"--provenance={provenance}")
    assert (anew["links"], anew["outputs"]["vmlinux"]) == (2, record["outputs"]["vmlinux"])
    assert provenance.read_bytes() == said


@pytest.mark.parametrize("linker", ["ld", "ld.lld"])
def test_first_build_of_tables_of_symbols_takes_one_link_for_the_same_image(tmp_path: Path, linker: str) -> None:
    kernel = tmp_path / "kernel"
    assert buildplug("new", kernel).returncode == 0
    edit(kernel / "buildplug.toml", ('ld = "ld"', f'ld = "{linker}"'))
    first = built(kernel)
    assert (first["links"], first["why"]) == (1, FITS)
    shutil.rmtree(kernel / "build")
    without = "from buildplug.stage.passes import Stage; from buildplug.cli.main import main; "
    without += "Stage.foretell = lambda *_: False; main()"
    tool(sys.executable, "-c", without, "build", kernel)
    anew = json.loads((kernel / "build" / "vmlinux.buildplug.json").read_text())
    assert (anew["links"], anew["outputs"]["vmlinux"]) == (2, first["outputs"]["vmlinux"])


def test_draft_that_is_left_is_the_image_if_there_was_but_one_link(kernel: Path) -> None:
    built(kernel)
    change(kernel)
    outputs = built(kernel)["outputs"]
    assert outputs["vmlinux.draft"] == outputs["vmlinux"]
    assert buildplug("verify", kernel / "build" / "vmlinux.draft", kernel / "build" / "vmlinux").returncode == 0
    assert f"why 1 link: {FITS}" in buildplug("report", kernel).stdout


def test_what_reads_images_is_imported_while_the_linker_runs(kernel: Path) -> None:
    """It takes as long as a small link."""
    built(kernel)
    change(kernel)
    program = (
        "import sys\n"
        "def hook(event, words):\n"
        "    if event == 'subprocess.Popen' and words[0] == 'ld' and len(words[1]) > 2:\n"
        "        print(*sys.modules)\n"
        "sys.addaudithook(hook)\n"
        "from buildplug.cli.main import main; main()"
    )
    modules = tool(sys.executable, "-c", program, "build", kernel).split()
    assert {"doit", "buildplug.pipeline.doit_tasks"} < set(modules)
    assert not {"numpy", "elftools", "jinja2", "capstone", "buildplug.image.elf"} & set(modules)


def test_explain_says_how_many_links_and_why(kernel: Path) -> None:
    built(kernel)
    change(kernel)
    assert f"links: 1: {FITS}" in buildplug("build", kernel, "--explain").stderr.splitlines()
    assert "links:" not in buildplug("build", kernel, "--explain").stderr


def test_table_that_outgrows_its_room_is_relinked(kernel: Path) -> None:
    built(kernel)
    change(kernel, "".join(f"int many_{n}_names_for_symbols = {n};\n" for n in range(1, 300)))
    done = buildplug("build", kernel, "--json")
    record = json.loads(done.stdout)
    assert record["links"] == 2
    assert record["why"].startswith("rule ksyms: its table takes ")
    assert done.stderr.splitlines()[-1] == f"  RELINK  vmlinux: {record['why']}"
    shutil.rmtree(kernel / "build")
    assert built(kernel)["outputs"]["vmlinux"] == record["outputs"]["vmlinux"]


def test_previous_tables_that_somebody_changed_are_not_linked(kernel: Path) -> None:
    built(kernel)
    change(kernel)
    (table,) = (kernel / "build" / "obj").rglob("bp_ksyms_table.S.o")
    table.write_bytes(table.read_bytes() + b"?")
    record = built(kernel)
    assert (record["links"], record["why"]) == (2, "the previous tables are not as they were linked")


@pytest.mark.parametrize("other", ["rules", "compiler"])
def test_tables_that_others_have_made_are_not_linked(kernel: Path, other: str) -> None:
    built(kernel)
    change(kernel)
    if other == "rules":
        with (kernel / "buildplug.toml").open("a") as file:
            file.write('[[table]]\nrule = "functions"\n')
    else:
        (kernel / "gcc").symlink_to(shutil.which("gcc") or "")
        edit(kernel / "buildplug.toml", ('cc = "gcc"', 'cc = "./gcc"'))
    record = built(kernel)
    why = "the previous tables were made by other rules, another compiler, or another buildplug"
    assert (record["links"], record["why"]) == (2, why)


def test_linker_that_moves_parts_of_sections_is_run_twice(kernel: Path) -> None:
    edit(
        kernel / "kernel.lds",
        ("ADDR(.data) - kernel_base) ALIGN(4096)", "ADDR(.data) - kernel_base) ALIGN(16) SUBALIGN(16)"),
        ("data_start = .;", "data_start = .; QUAD(0) . = ALIGN(4096);"),
    )
    edit(kernel / "buildplug.toml", ('"--fatal-warnings"', '"--no-warn-rwx-segments"'))
    shutil.rmtree(kernel / "build")
    assert built(kernel)["moved"]
    change(kernel)
    record = built(kernel)
    assert (record["links"], record["why"]) == (2, "the linker moves parts of sections from link to link")
    shutil.rmtree(kernel / "build")
    assert built(kernel)["outputs"]["vmlinux"] == record["outputs"]["vmlinux"]


@pytest.mark.parametrize("linker", ["ld", "ld.lld"])
def test_wrapper_takes_one_link_for_the_same_bytes(kernel: Path, linker: str) -> None:
    record = built(kernel)
    words = record["commands"]["relink"]
    ours = ("tables.lds", "_table", "anchors")
    theirs = [word for word in words[1:-2] if not any(name in word for name in ours)]
    theirs.remove("-T")
    command = ("ld", "--config", "buildplug.toml", "--ld", linker, *theirs, "-o", "vmlinux")
    assert buildplug(*command, cwd=kernel).returncode == 0
    change(kernel)
    built(kernel)
    done = buildplug(*command, cwd=kernel, env={"BUILDPLUG_KEEP": "1"})
    assert done.returncode == 0, done.stderr
    assert f'"why": "{FITS}"' in (kernel / "vmlinux.buildplug" / "record.json").read_text()
    once = (kernel / "vmlinux").read_bytes()
    (kernel / "vmlinux").unlink()
    assert buildplug(*command, cwd=kernel).returncode == 0
    assert (kernel / "vmlinux").read_bytes() == once
