"""Plain tables: rules of a user's own, several in one relink, against nm and against the image."""

import json
import re
import struct
import subprocess
from pathlib import Path

import pytest

from buildplug.image.elf import Image
from tests.conftest import Link
from tests.samples import buildplug, built, copy_sample, edit, one_line
from tests.tables.plain_rules import OBJECTS, OFFERED, PLAIN_C, PLAIN_C_TEMPLATE


def with_tables(folder: Path, *rules: str) -> Path:
    """The sample kernel with more tables; those in files are written beside it."""
    kernel = copy_sample(folder)
    (kernel / "objects.toml").write_text(OBJECTS)
    (kernel / "offered.toml").write_text(OFFERED)
    (kernel / "plain.toml").write_text(PLAIN_C)
    (kernel / "plain.c.j2").write_text(PLAIN_C_TEMPLATE)
    # what is absolute in a table is first there when the list of relocations has been made
    edit(kernel / "buildplug.toml", ('rule = "relocs"', 'rule = "relocs"\nslack = 128'))
    with (kernel / "buildplug.toml").open("a") as file:
        for rule in rules:
            file.write(f'\n[[table]]\nrule = "{rule}"\n')
    return kernel


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rules = ("functions", "objects.toml", "offered.toml", "plain.toml")
    folder = with_tables(tmp_path_factory.mktemp("rows") / "kernel", *rules)
    record = built(folder)
    assert record["links"] == 2
    assert {"functions", "objects", "offered", "plain-c"} < set(record["tables"])
    return folder


def content(kernel: Path, section: str) -> tuple[bytes, int]:
    """Bytes and address of a section of the final image."""
    image = Image(kernel / "build" / "vmlinux")
    found = image.section(section)
    return image.bytes_of(found).tobytes(), found.address


def nm(kernel: Path) -> list[tuple[int, int, str]]:
    """(address, size, name) of what nm lists; size 0 where it has none."""
    listed = subprocess.run(
        ["nm", "-S", kernel / "build" / "vmlinux"], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split() for line in listed.splitlines()]
    return [(int(row[0], 16), int(row[1], 16) if len(row) == 4 else 0, row[-1]) for row in rows]


def test_functions_are_those_of_nm(kernel: Path) -> None:
    data, at = content(kernel, ".bp_functions")
    count, size = struct.unpack_from("<II", data)
    found = []
    for place in range(8, 8 + count * size, size):
        address, length, name = struct.unpack_from("<iIi", data, place)
        start = place + 8 + name
        found.append((at + place + address, length, data[start : data.index(0, start)].decode()))
    image = Image(kernel / "build" / "vmlinux")
    named = zip(image.symbols, image.names, strict=True)
    functions = {(int(row["value"]), name) for row, name in named if row["type"] == 2}
    assert sorted(found) == sorted(row for row in nm(kernel) if (row[0], row[2]) in functions)
    assert found == sorted(found, key=lambda row: (row[0], row[2]))


def test_calls_are_those_that_objdump_shows(kernel: Path) -> None:
    listed = subprocess.run(
        ["objdump", "-d", kernel / "build" / "vmlinux"], capture_output=True, text=True, check=True
    ).stdout
    calls = [int(line.split(":")[0], 16) for line in listed.splitlines() if line.endswith("<__fentry__>")]
    data, at = content(kernel, ".bp_calls")
    count, size = struct.unpack_from("<II", data)
    places = range(8, 8 + count * size, size)
    assert [at + place + struct.unpack_from("<i", data, place)[0] for place in places] == calls


def test_rows_are_sorted_as_the_rule_says(kernel: Path) -> None:
    data, at = content(kernel, ".bp_objects")
    count, size = struct.unpack_from("<II", data)
    rows = [struct.unpack_from("<Hi", data, 8 + i * size) for i in range(count)]
    image = Image(kernel / "build" / "vmlinux")
    data_section = image.section(".data")
    inside = range(data_section.address, data_section.address + data_section.size)
    named = sorted((name, size, address) for address, size, name in nm(kernel) if address in inside and size)
    assert [(size, at + offset) for size, offset in rows] == [(size, address) for _, size, address in named]


def test_list_of_names_makes_a_table_of_exports(kernel: Path) -> None:
    data, at = content(kernel, ".bp_offered")
    count, size = struct.unpack_from("<II", data)
    found = []
    for place in range(8, 8 + count * size, size):
        name, address = struct.unpack_from("<ii", data, place)
        found.append((data[place + name : data.index(0, place + name)].decode(), at + place + 4 + address))
    listed = {name: address for address, _, name in nm(kernel)}
    assert found == [(name, listed[name]) for name in ("print", "strcmp", "ticks")]


def test_users_own_c_template_needs_no_python(kernel: Path) -> None:
    data, _ = content(kernel, ".bp_plain_c")
    rows = [struct.unpack_from("<QQ", data, place) for place in range(0, len(data), 16)]
    assert rows == sorted(
        (address, size) for address, size, name in nm(kernel) if name.startswith("pv_") and "ops" not in name
    )


def test_verify_covers_each_table(kernel: Path, tmp_path: Path) -> None:
    image = Image(kernel / "build" / "vmlinux")
    rules = [word for name in ("objects", "offered", "plain") for word in ("--rule", kernel / f"{name}.toml")]
    draft = kernel / "build" / "vmlinux.draft"
    assert buildplug("verify", draft, image.path, *rules).returncode == 0
    tables = json.loads((kernel / "build" / "vmlinux.buildplug.json").read_text())["tables"]
    assert {"paravirt", "ksyms", "relocs", "plain-c"} < set(tables)
    for name in (f"bp_{table.replace('-', '_')}" for table in tables):
        data = bytearray(image.path.read_bytes())
        section = image.section(f".{name}")
        data[section.offset + section.size // 2] ^= 1
        (tmp_path / "spoilt").write_bytes(data)
        failed = buildplug("verify", draft, tmp_path / "spoilt", *rules)
        assert failed.returncode == 1
        assert name in one_line(failed.stderr)


def test_plain_table_is_rewritten_when_the_linker_moves_what_it_names(tmp_path: Path) -> None:
    kernel = with_tables(tmp_path / "kernel", "objects.toml")
    edit(
        kernel / "kernel.lds",
        ("ADDR(.data) - kernel_base) ALIGN(4096)", "ADDR(.data) - kernel_base) ALIGN(16) SUBALIGN(16)"),
        ("data_start = .;", "data_start = .; QUAD(0) . = ALIGN(4096);"),
    )
    edit(kernel / "buildplug.toml", ('"--fatal-warnings"', '"--no-warn-rwx-segments"'))
    assert built(kernel)["rewritten"] == ["paravirt", "ksyms", "relocs", "objects"]
    proved = buildplug(
        "verify", kernel / "build" / "vmlinux.draft", kernel / "build" / "vmlinux", "--rule", kernel / "objects.toml"
    )
    assert proved.returncode == 0, proved.stderr


def test_row_that_does_not_fit_its_field_names_rule_symbol_and_fix(tmp_path: Path) -> None:
    kernel = with_tables(tmp_path / "kernel", "objects.toml")
    edit(kernel / "objects.toml", ('type = "u2"', 'type = "u1"'), ('sections = [".data"]', 'sections = [".bss"]'))
    error = one_line(buildplug("build", kernel).stderr)
    assert "rule objects, row " in error
    assert "field size: expected a value that fits u1" in error
    assert "give the field a wider type" in error


def test_symbol_outside_every_section_names_rule_and_fix(tmp_path: Path) -> None:
    kernel = with_tables(tmp_path / "kernel", "objects.toml")
    edit(
        kernel / "objects.toml",
        ('objects = ["*"]', 'untyped = true\nobjects = ["*_end"]'),
        ('sections = [".data"]', ""),
    )
    error = one_line(buildplug("build", kernel).stderr)
    assert re.search(r"rule objects, symbol \w*_end: address 0x\w+ lies in no section; exclude its symbol", error)


@pytest.mark.parametrize("others", ["", '"print", '])
def test_absolute_symbol_names_rule_and_fix(link: Link, tmp_path: Path, others: str) -> None:
    image = link(".globl print, five\nprint: nop\n.set five, 5").path
    (tmp_path / "offered.toml").write_text(
        OFFERED.replace('objects = ["ticks"]', f'untyped = true\nobjects = [{others}"five"]')
    )
    error = one_line(buildplug("ksyms", image, "--rule", tmp_path / "offered.toml").stderr)
    assert error.rstrip().endswith("rule offered: symbol five is absolute, no place in the image; exclude it")


@pytest.mark.parametrize(("objects", "rows"), [('"*"', 2), ('"ticks", "far"', 0)])
def test_object_in_no_section_is_no_row_and_must_not_be_named(
    link: Link, tmp_path: Path, objects: str, rows: int
) -> None:
    image = link(
        """
        .data
        .macro object name, at
        .globl \\name
        .type \\name, @object
        .set \\name, start + \\at
        .endm
        start: .quad 1
        object ticks, 0
        object end, 8
        object far, 0x100000008
        """
    ).path
    (tmp_path / "offered.toml").write_text(OFFERED.replace('"ticks"', objects))
    done = buildplug("ksyms", image, "--rule", tmp_path / "offered.toml")
    assert len(done.stdout.splitlines()) == rows
    if not rows:
        assert done.stderr.rstrip().endswith(
            "rule offered: symbol far lies in no section, no place in the image; exclude it"
        )


def test_two_rules_that_claim_one_section_are_refused(tmp_path: Path) -> None:
    kernel = with_tables(tmp_path / "kernel", "objects.toml", "plain.toml")
    edit(kernel / "plain.toml", ("head = false", 'head = false\nsection = ".bp_objects"'))
    assert "found .bp_objects for objects, plain-c" in one_line(buildplug("build", kernel).stderr)


def test_template_that_does_not_render_names_rule_line_and_fix(tmp_path: Path) -> None:
    kernel = with_tables(tmp_path / "kernel", "plain.toml")
    edit(kernel / "plain.c.j2", ("{{ row.size }}", "{{ row.sise }}"))
    error = one_line(buildplug("build", kernel).stderr)
    line = next(n for n, text in enumerate(PLAIN_C_TEMPLATE.splitlines(), 1) if "row.size" in text)
    assert f"rule plain-c: plain.c.j2:{line}: does not render: " in error
    assert error.rstrip().endswith("no attribute 'sise'; correct the template")
