"""A configuration for several architectures: what [arch.NAME] changes, and how one is chosen."""

from pathlib import Path

import pytest

from buildplug.base.errors import BuildplugError
from buildplug.config.project import read_file
from buildplug.repro import builder
from tests.samples import buildplug, copy_sample, one_line

TEXT = """
[kernel]
arch = "x86_64"
[toolchain]
ld = "ld"
[compile]
cflags = ["-O2"]
[link]
flags = ["-z", "noexecstack"]
[arch.x86_64.compile]
cflags = ["-mno-red-zone"]
[arch.i386.toolchain]
ld = "ld.lld-99"
[arch.i386.link]
flags = ["-m", "elf_i386"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "buildplug.toml").write_text(TEXT)
    return tmp_path / "buildplug.toml"


def test_a_key_of_the_architecture_replaces_that_of_the_file(file: Path) -> None:
    assert read_file(file, "i386").toolchain.ld == "ld.lld-99"
    assert read_file(file, "i386").toolchain.cc == read_file(file).toolchain.cc


def test_a_list_of_the_architecture_goes_behind_that_of_the_file(file: Path) -> None:
    assert read_file(file, "i386").link.flags == ("-z", "noexecstack", "-m", "elf_i386")


def test_a_table_of_the_architecture_replaces_that_of_its_name_or_is_appended(file: Path) -> None:
    own = [("paravirt", 'ops = "own.toml"'), ("retpolines", ""), ("calls", 'name = "other"')]
    added = "".join(f'[[arch.i386.table]]\nrule = "{rule}"\n{more}\n' for rule, more in own)
    file.write_text(TEXT + '[[table]]\nrule = "paravirt"\nops = "ops.toml"\n[[table]]\nrule = "calls"\n' + added)
    named = [("paravirt", "own.toml"), ("calls", ""), ("retpolines", ""), ("other", "")]
    assert [(entry.name or entry.rule, entry.ops) for entry in read_file(file, "i386").table] == named
    assert [(entry.rule, entry.ops) for entry in read_file(file).table] == [("paravirt", "ops.toml"), ("calls", "")]


def test_the_default_architecture_has_changes_like_any_other(file: Path) -> None:
    assert read_file(file) == read_file(file, "x86_64")
    assert read_file(file).compile.cflags == ("-O2", "-mno-red-zone")
    assert read_file(file, "i386").compile.cflags == ("-O2",)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[arch.i386.link]", "[arch.i368.link]", "arch: unknown architecture 'i368'; did you mean 'i386'?"),
        ("[arch.i386.link]", "[arch.i386.lnik]", "arch.i386: unknown key 'lnik'; did you mean 'link'?"),
        ('ld = "ld.lld-99"', "ld = 1", "arch.i386: toolchain: ld: expected a string, found 1"),
        ("[arch.i386.link]", '[arch.i386.kernel]\narch = "x86_64"\n[arch.i386.link]', "arch.i386.kernel: expected no"),
        ('arch = "x86_64"', 'arch = "x86-64"', "kernel: arch: unknown architecture 'x86-64'; did you mean 'x86_64'?"),
    ],
)
def test_what_is_wrong_is_named_whatever_is_built(file: Path, old: str, new: str, expected: str) -> None:
    assert old in TEXT
    file.write_text(TEXT.replace(old, new))
    with pytest.raises(BuildplugError) as caught:
        read_file(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize("command", ["build", "report", "repro", "doctor", "runtime", "ld"])
def test_every_command_that_reads_a_configuration_takes_the_architecture(file: Path, command: str) -> None:
    words = {"runtime": ("runtime", "made", "--config", file), "ld": ("ld", "--config", file)}.get(command)
    failed = buildplug(*(words or (command, file)), "--arch", "i368", cwd=file.parent)
    assert failed.returncode == 1
    assert one_line(failed.stderr) == "buildplug: --arch: unknown architecture 'i368'; did you mean 'i386'?"


def test_doctor_looks_for_the_tools_of_the_architecture(file: Path) -> None:
    assert buildplug("doctor", file).returncode == 0
    assert "apt-get install lld-99" in one_line(buildplug("doctor", file, "--arch", "i386").stderr)


def test_the_linker_of_the_environments_architecture_is_used(file: Path) -> None:
    words, chosen = ("ld", "--config", file, "--version"), {"BUILDPLUG_ARCH": "i386"}
    assert buildplug(*words).returncode == 0
    assert "ld.lld-99: cannot be run" in one_line(buildplug(*words, env=chosen).stderr)


def test_a_written_wrapper_keeps_the_architecture(file: Path) -> None:
    done = buildplug("ld", "--config", file, "--arch", "i386", "--ld", "ld", "--into", file.parent)
    assert done.returncode == 0, done.stderr
    assert "'--arch' 'i386'" in (file.parent / "ld").read_text()


def test_rebuilds_are_of_the_architecture(tmp_path: Path) -> None:
    project = builder.project(copy_sample(tmp_path / "kernel"), (), (), "i386")
    assert project.command[-2:] == ("--arch", "i386")
    assert project.outputs == ("build/i386/vmlinux",)
