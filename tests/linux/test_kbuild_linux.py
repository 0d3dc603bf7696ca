"""Real Linux with our link stage, booted: kallsyms and paravirt sites, as its own code sees and uses them."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildplug.base.data import build_system
from buildplug.image.elf import Image
from buildplug.linux.versions import SCRIPT
from buildplug.tables.kallsyms import FORMS
from buildplug.tables.kallsyms_format import decode
from tests import linux_image
from tests.conftest import tool
from tests.linux.conftest import check_forecast, folder
from tests.linux_boot import boot
from tests.linux_image import Linux
from tests.linux_patching import CALL, Memory, members, patch, xen_ops
from tests.samples import buildplug, logging_tool
from tests.tables.test_kallsyms_format import tables_in

pytestmark = pytest.mark.linux
BZIMAGE = "arch/x86/boot/bzImage"
OURS = ("__bp_kallsyms", "____bp_kallsyms")  # symbols of our tables, which kallsyms leave out

Symbols = list[tuple[int, str, str]]  # address, type, name


def symbols(text: str) -> Symbols:
    """The lines of a System.map or of /proc/kallsyms; modules have a fourth word."""
    rows = (line.split() for line in text.splitlines())
    return [(int(row[0], 16), row[1], row[2]) for row in rows if len(row) == 3]


@pytest.fixture(scope="module")
def tree(linux_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the cached tree, its bzImage built with our stage; the linker's runs in ld.log."""
    with folder(tmp_path_factory) as made:
        tree = linux_image.copy(linux_tree, made / "linux")
        logging_tool(made / "ld", "ld", made / "ld.log")
        done = buildplug("kbuild", tree, "--", "bzImage", env={"PATH": f"{made}:{os.environ['PATH']}"})
        assert done.returncode == 0, done.stdout + done.stderr
        assert "RELINK" not in done.stderr
        yield tree


@pytest.fixture(scope="module")
def paravirt_tree(linux: Linux, linux_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same of the tree that was compiled without its annotations of paravirt sites."""
    with folder(tmp_path_factory) as made:
        tree = linux_image.copy(linux_image.unannotated(linux), made / "linux")
        logging_tool(made / "ld", "ld", made / "ld.log")
        path = f"{made}:{os.environ['PATH']}"
        done = buildplug("kbuild", "--paravirt", tree, "--", "bzImage", env={"PATH": path})
        assert done.returncode == 0, done.stdout + done.stderr
        yield tree


def with_relocations(linux: Linux, tree: Path, folder: Path) -> Path:
    """The image of a tree with --paravirt. It is linked again if the build has removed its relocations, as in 6.12."""
    built = tree / linux.image
    if Memory(built).sites:
        return built
    output = folder / linux.image
    words = [*linux_image.link_words(tree, linux), "-o", str(output)]
    done = buildplug("ld", "--config", build_system(linux.stage.paravirt), *words, cwd=tree)
    assert done.returncode == 0, done.stderr
    linked, made = Memory(output).sections, Memory(built).sections
    for name in (".text", ".altinstructions", ".altinstr_replacement", ".data"):  # others are sorted after the link
        assert linked[name] == made[name]
    return output


def links(tree: Path) -> int:
    log = (tree.parent / "ld.log").read_text().splitlines()
    return sum("--script=./arch/x86/kernel/vmlinux.lds" in line for line in log)


def test_there_is_one_link_from_the_first_on(tree: Path) -> None:
    """Also where it is of more than a thousand objects, as of 6.1: their names are read in vmlinux.o."""
    assert links(tree) == 1


def test_the_link_has_the_symbols_that_were_expected(linux: Linux, tree: Path) -> None:
    check_forecast(linux.stage, tree / linux.image, "arch/x86/kernel/vmlinux.lds", "ld")


def test_a_build_with_nothing_to_do_links_nothing_and_changes_nothing(tree: Path) -> None:
    log, built = tree.parent / "ld.log", [tree / name for name in ("vmlinux", "System.map", BZIMAGE, SCRIPT)]
    log.write_text("")
    before = [path.stat().st_ctime_ns for path in built]
    done = buildplug("kbuild", tree, "--", "bzImage", env={"PATH": f"{tree.parent}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stderr
    assert links(tree) == 0
    assert [path.stat().st_ctime_ns for path in built] == before


def test_make_with_the_patch_left_in_links_once_more_and_then_never(tree: Path) -> None:
    log = tree.parent / "ld.log"
    make: list[str | Path] = ["env", f"PATH={tree.parent}:{os.environ['PATH']}", "make", "-C", tree, "bzImage"]
    assert buildplug("kbuild", "--apply", tree).returncode == 0
    try:
        for number in (1, 0):
            log.write_text("")
            tool(*make)
            assert links(tree) == number
    finally:
        assert buildplug("kbuild", "--revert", tree).returncode == 0


def test_link_after_a_change_is_one_and_gives_the_same_bytes(linux: Linux, tree: Path, tmp_path: Path) -> None:
    """After a function more, once with the image of before in its place and once with nothing known before."""
    (tmp_path / "more.S").write_text(".text\n.globl more\n.type more, @function\nmore: .fill 4095, 1, 0x90\nret\n")
    tool("gcc", "-c", "more.S", cwd=tmp_path)
    output, log, made = tmp_path / linux.image, tree.parent / "ld.log", []
    words: list[str | Path] = [*linux_image.link_words(tree, linux), tmp_path / "more.o", "-o", output]
    shutil.copy(tree / linux.image, output)
    for links, how in ((1, ()), (2, ("--relink",))):
        log.unlink()
        config = build_system(linux.stage.kallsyms)
        done = buildplug("ld", "--config", config, "--ld", tree.parent / "ld", *how, *words, cwd=tree)
        assert done.returncode == 0, done.stderr
        assert len(log.read_text().splitlines()) == 1 + links  # and one that asks for the version
        made.append(output.read_bytes())
        output.unlink()
    assert made[0] == made[1] != (tree / linux.image).read_bytes()


def test_a_link_without_relocations_gets_none_for_kallsyms(linux: Linux, tree: Path, tmp_path: Path) -> None:
    log = tree.parent / "ld.log"
    log.write_text("")
    words = [word for word in linux_image.link_words(tree, linux) if word != "--emit-relocs"]  # RANDOMIZE_BASE is off
    config, output = build_system(linux.stage.kallsyms), tmp_path / linux.image
    done = buildplug("ld", "--config", config, "--ld", tree.parent / "ld", *words, "-o", output, cwd=tree)
    assert done.returncode == 0, done.stderr
    assert "--emit-relocs" not in log.read_text()
    found = decode(tables_in(Image(output)), "vmlinux")
    listed = {line.rpartition(" ")[2] for line in tool("nm", "--defined-only", output).splitlines()}
    assert len(found.names) > 10000
    assert {name.decode() for name in found.names} <= listed


def test_the_tree_is_as_it_was(linux: Linux, tree: Path, linux_tree: Path) -> None:
    for name in (SCRIPT, *linux.stage.emptied):
        ours, theirs = tree / name, linux_tree / name
        assert ours.read_bytes() == theirs.read_bytes()
        assert ours.stat().st_mode == theirs.stat().st_mode
    assert not (tree / ".buildplug").exists()


def test_kallsyms_of_the_booted_kernel_equals_system_map(
    linux: Linux, tree: Path, linux_tree: Path, tmp_path: Path
) -> None:
    output, _ = boot(tree / BZIMAGE, "-- /proc/kallsyms", lambda _: (), tmp_path)
    check_kallsyms(linux, output, tree, linux_tree)


def check_kallsyms(linux: Linux, output: str, tree: Path, linux_tree: Path) -> None:
    """Fails unless what a kernel says of its kallsyms is its System.map, but for the slide of KASLR, and has the names
    and letters of a stock build's."""
    booted, parts = symbols(output), {f"kallsyms_{part}" for part in FORMS[linux.format].parts}
    listed = {name: address for address, _, name in symbols((tree / "System.map").read_text())}
    slide = next(address for address, _, name in booted if name == "_text") - listed["_text"]
    assert slide  # KASLR
    linked = Counter((a - slide * (a >= slide and kind != "A"), name) for a, kind, name in booted)
    # What is left out: absolute symbols, those of buildplug's tables, and those of Linux's own if it leaves them out.
    unlisted = set() if linux.lists_itself else parts
    mapped = Counter(
        (address, name)
        for address, kind, name in symbols((tree / "System.map").read_text())
        if kind != "A" and name not in unlisted and not name.startswith(OURS)
    )
    assert linked == mapped
    stock = symbols((linux_tree / "System.map").read_text())
    apart = not FORMS[linux.format].held  # whether per-CPU symbols have a letter of their own
    percpu = next(address for address, _, name in stock if name == "__per_cpu_end") if apart else 0
    named = {
        ("A" if address <= percpu else kind, name)
        for address, kind, name in stock
        if kind != "A" and name not in unlisted
    }
    assert {(kind, name) for _, kind, name in booted} == named


def test_letters_and_names_are_those_of_the_stock_build(tree: Path, linux_tree: Path) -> None:
    check_letters(tree, linux_tree)


def check_letters(built: Path, stock: Path) -> None:
    """Fails if names and letters are not those that a stock build has. Addresses differ behind the tables, which have
    other places and sizes."""
    found, expected = (
        Counter((kind, name) for _, kind, name in symbols((folder / "System.map").read_text()))
        for folder in (built, stock)
    )
    assert expected - found == Counter()
    assert {name for _, name in found - expected if not name.startswith(OURS)} == set()


@pytest.mark.slow  # its headers are patched: Linux is compiled anew
def test_there_is_one_link_with_paravirt_sites_too(paravirt_tree: Path) -> None:
    assert links(paravirt_tree) == 1


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["bare", "xen"])
def test_paravirt_sites_hold_what_the_reference_says(
    linux: Linux, paravirt_tree: Path, backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = with_relocations(linux, paravirt_tree, tmp_path)
    linked, memory = Memory(image), Memory(image)
    found = members(paravirt_tree)
    start, end = linked.symbols["_text"], linked.symbols["_etext"]
    sites = {site: slot for site, slot in linked.sites.items() if start <= site < end}  # the others are freed at boot
    ops = linked.slots if backend == "bare" else xen_ops(linked, paravirt_tree, found)
    features = {found.features[name] for name in ("ALWAYS", *(("XENPV",) if backend == "xen" else ()))}
    expected = patch(linux.stage.version, memory, ops, features)
    output, (text,) = boot(
        paravirt_tree / BZIMAGE, "nokaslr", lambda _: [(start, end - start)], tmp_path, xen=backend == "xen"
    )
    assert ("Xen" in output) <= (backend == "xen")
    held = {site: text[site - start :][: len(expected[site])] for site in sites}
    assert len(sites) > 1000
    assert {hex(s): (held[s].hex(), expected[s].hex()) for s in sites if held[s] != expected[s]} == {}
    assert not [site for site in sites if held[site].startswith(CALL)]
    names = {address: name for name, address in linked.symbols.items()}
    counts = Counter(names.get(ops[slot], hex(ops[slot])) for slot in sites.values())
    with capsys.disabled():
        print(
            f"\n{linux.stage.version} {backend}: {len(sites)} sites; "
            + ", ".join(f"{n} {name}" for name, n in counts.most_common())
        )
