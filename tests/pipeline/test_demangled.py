"""A kernel whose table of symbols has readable names."""

import json
from pathlib import Path

import pytest

from buildplug.image.elf import Image
from buildplug.runtime.ksyms import lookup
from buildplug.tables.ksyms_codec import decode
from tests.conftest import tool
from tests.samples import buildplug, built, copy_sample, edit, one_line

ADDED = '\nint odd[9] __asm__("_ZN3odd%s17h0123456789abcdefE") = {7};\n'


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    folder = copy_sample(tmp_path / "kernel")
    edit(folder / "buildplug.toml", ('rule = "ksyms"', 'rule = "ksyms"\ndemangle = true'))
    change(folder, "5first")
    return folder


def change(kernel: Path, name: str) -> None:
    with (kernel / "main.c").open("a") as file:
        file.write(ADDED.replace("odd[", f"odd_{name}[") % name)


def names(kernel: Path) -> set[str]:
    image = Image(kernel / "build" / "vmlinux")
    data = image.bytes_of(image.section(".bp_ksyms")).tobytes()
    return {name.decode() for name in decode(data, image.arch, kernel).names}


def test_the_table_has_the_names_of_nm(kernel: Path) -> None:
    built(kernel)
    listed = {line.split(" ", 2)[2] for line in tool("nm", "-C", kernel / "build" / "vmlinux").splitlines()}
    assert "odd::first" in names(kernel) <= listed


def test_trimmed_names_are_in_the_table(kernel: Path) -> None:
    edit(kernel / "buildplug.toml", ("demangle = true", 'demangle = true\ntrim = "all"'))
    with (kernel / "main.c").open("a") as file:
        file.write('\nint queue[9] __asm__("_ZN5QueueIiE3addEic") = {7};\n')
    built(kernel)
    assert "Queue<...>::add(...)" in names(kernel)


def test_with_raw_names_a_symbol_is_found_by_either(kernel: Path) -> None:
    edit(kernel / "buildplug.toml", ("demangle = true", "demangle = true\nraw = true"))
    built(kernel)
    image = Image(kernel / "build" / "vmlinux")
    section = image.section(".bp_ksyms")
    table = decode(image.bytes_of(section).tobytes(), image.arch, kernel)
    raw = b"_ZN3odd5first17h0123456789abcdefE"
    address = image.address_of(raw.decode())
    for name in raw, b"odd::first":
        assert [symbol.address for symbol in lookup(table, section.address, name)] == [address]


def test_after_a_change_the_image_is_that_of_a_first_build(kernel: Path, tmp_path: Path) -> None:
    built(kernel)
    change(kernel, "6second")
    assert built(kernel)["links"] == 1
    assert {"odd::first", "odd::second"} <= names(kernel)
    again = copy_sample(tmp_path / "again")
    for name in ("main.c", "buildplug.toml"):
        (again / name).write_bytes((kernel / name).read_bytes())
    assert built(again)["links"] == 2
    image, fresh = ((folder / "build" / "vmlinux").read_bytes() for folder in (kernel, again))
    assert image == fresh


def test_another_demangler_makes_another_table(kernel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(kernel)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "c++filt").write_text('#!/bin/sh\nexec /usr/bin/c++filt "@/dev/stdin"\n')
    (tmp_path / "bin" / "c++filt").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    built(kernel)
    assert "odd::first::h0123456789abcdef" in names(kernel)


def test_provenance_names_the_demangler(kernel: Path, tmp_path: Path) -> None:
    built(kernel, f"--provenance={tmp_path / 'p.json'}")
    build = json.loads((tmp_path / "p.json").read_text())["predicate"]["buildDefinition"]
    assert "c++filt" in {used["name"] for used in build["resolvedDependencies"]}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('rule = "functions"\ndemangle = true', "demangle is for tables with format ksyms; leave it out"),
        ('rule = "ksyms"\nhashes = true', "hashes is for tables with demangle; leave it out"),
        ('rule = "ksyms"\ntrim = "all"', "trim is for tables with demangle; leave it out"),
        ('rule = "ksyms"\nraw = true', "raw is for tables with demangle and by_name; leave it out"),
        (
            'rule = "ksyms"\ndemangle = true\nby_name = false\nraw = true',
            "raw is for tables with demangle and by_name; leave it out",
        ),
    ],
)
def test_a_key_without_effect_is_an_error(kernel: Path, keys: str, message: str) -> None:
    edit(kernel / "buildplug.toml", ('rule = "ksyms"\ndemangle = true', keys))
    failed = buildplug("build", kernel)
    assert failed.returncode == 1
    assert message in one_line(failed.stderr)


def test_doctor_asks_for_the_demangler(kernel: Path) -> None:
    findings = json.loads(buildplug("doctor", kernel, "--json").stdout)
    assert "c++filt" in {finding["tool"] for finding in findings}
