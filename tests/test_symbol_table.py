"""The table of symbols in an image and the command that reads symbols, against nm and against the booted kernel."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from buildplug import ksyms
from buildplug.elf import STT_FILE, STT_SECTION, Image
from buildplug.ksyms_codec import decode
from sample_kernel.boot import boot
from tests.samples import buildplug, built, copy_sample, edit, one_line


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_sample(tmp_path_factory.mktemp("ksyms") / "kernel")
    assert set(built(folder)["tables"]) == {"paravirt", "ksyms", "calls"}
    return folder / "build" / "vmlinux"


def nm(path: Path) -> list[tuple[int, str, str]]:
    """(address, type, name) of nm -n, but of what buildplug made."""
    listed = subprocess.run(["nm", "-n", path], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines() if line[0] != " "]
    ours = {"bp_paravirt", "bp_ksyms", "bp_calls", "bp_calls_end"}  # tables
    kept = [(int(a, 16), t, n) for a, t, n in rows if n not in ours and not n.startswith("__bp_")]
    return sorted(kept)


def test_table_in_the_image_has_every_symbol_of_nm(kernel: Path) -> None:
    image = Image(kernel)
    section = image.section(".bp_ksyms")
    table = decode(image.bytes_of(section).tobytes(), image.arch, kernel)
    symbols = [ksyms.symbol(table, section.address, index) for index in range(len(table.rows))]
    found = sorted((s.address, s.type, s.name.decode()) for s in symbols)
    assert found == nm(kernel)


@pytest.mark.linux
def test_listing_of_linux_is_that_of_nm(vmlinux: Path, tmp_path: Path) -> None:
    (tmp_path / "all.toml").write_text(
        'name = "all"\nabout = ""\n[select]\nrows = "symbols"\nfunctions = ["*"]\nobjects = ["*"]\n'
        'untyped = true\nabsolute = true\nskip = []\n[table]\nformat = "ksyms"\n'
    )
    listed = buildplug("ksyms", vmlinux, "--rule", tmp_path / "all.toml", "--format", "system-map").stdout
    found = sorted((int(a, 16), t, n) for a, t, n in (line.split(maxsplit=2) for line in listed.splitlines()))
    expected = nm(vmlinux)
    assert len(found) > 40000
    assert found == expected


@pytest.mark.parametrize(
    ("arguments", "head"), [("crash", "panic: crash asked for"), ("crash=trap", "panic: unexpected exception")]
)
def test_crash_prints_who_called_whom(kernel: Path, arguments: str, head: str) -> None:
    status, said = boot(kernel, arguments)
    assert status == 35
    lines = said.splitlines()
    trace = lines[lines.index(head) + 1 :]
    assert [line.split("+")[0].strip() for line in trace] == [
        "backtrace:", "crash_here", "crash", "kernel_main", "high_half",
    ]  # fmt: skip


def test_backtrace_of_the_draft_has_addresses(kernel: Path) -> None:
    _, said = boot(kernel.with_suffix(".draft"), "crash")
    trace = said.splitlines()[said.splitlines().index("backtrace:") + 1 :]
    assert all(line.startswith("  0xffffffff801") for line in trace)


def test_address_and_name_are_looked_up(kernel: Path) -> None:
    image = Image(kernel)
    row = image.symbol("panic")
    done = buildplug("ksyms", kernel, hex(int(row["value"]) + 5), "panic")
    assert done.stdout.splitlines() == [f"panic+0x5/{int(row['size']):#x}", f"{int(row['value']):#x} T"]


def test_json_has_every_symbol_with_its_size(kernel: Path) -> None:
    listed = json.loads(buildplug("ksyms", kernel, "--format", "json").stdout)
    image = Image(kernel)
    real = ~np.isin(image.symbols["type"], (STT_SECTION, STT_FILE))
    sizes = {image.names[i]: int(image.symbols["size"][i]) for i in np.flatnonzero(real)}
    assert all(sizes[symbol["name"]] == symbol["size"] for symbol in listed)


def test_name_that_is_missing_is_one_line(kernel: Path) -> None:
    failed = buildplug("ksyms", kernel, "no_such_name")
    assert failed.returncode == 1
    assert "expected a symbol no_such_name, found none" in one_line(failed.stderr)


def test_verify_notices_a_changed_symbol(kernel: Path, tmp_path: Path) -> None:
    section = Image(kernel).section(".bp_ksyms")
    data = bytearray(kernel.read_bytes())
    data[section.offset + section.size - 100] ^= 1
    (tmp_path / "spoilt").write_bytes(data)
    failed = buildplug("verify", kernel.with_suffix(".draft"), tmp_path / "spoilt")
    assert failed.returncode == 1
    assert "table bp_ksyms" in one_line(failed.stderr)


def test_table_without_names_is_smaller(tmp_path: Path, kernel: Path) -> None:
    folder = copy_sample(tmp_path / "kernel")
    rule = (Path(__file__).parent.parent / "rules" / "ksyms.toml").read_text()
    (folder / "one-way.toml").write_text(rule.replace('format = "ksyms"', 'format = "ksyms"\nby_name = false'))
    edit(folder / "buildplug.toml", ('rule = "ksyms"', 'rule = "one-way.toml"'))
    built(folder)
    sizes = [Image(path).section(".bp_ksyms").size for path in (folder / "build" / "vmlinux", kernel)]
    assert sizes[0] < sizes[1]
