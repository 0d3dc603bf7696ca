"""Kernels that Cargo builds: every way in which rustc calls a linker, and Cargo's own promises."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from buildplug.ld import cargo as names
from tests.ld.crates import LD, MANIFEST, PROFILES, SCRIPT, by_nm, cargo, flags, image, is_true, package, programs
from tests.ld.programs import section_names
from tests.samples import buildplug, edit

DRIVER = ("-Clink-args=-nostdlib -static", "-Clink-arg=-Tkernel.lds")
BUILD = 'fn main() { println!("cargo:rustc-link-arg-bins=-nostdlib"); }\n'
MACROS = """
extern crate proc_macro;
#[proc_macro]
pub fn nothing(_: proc_macro::TokenStream) -> proc_macro::TokenStream { proc_macro::TokenStream::new() }
"""


def host_programs(folder: Path) -> list[tuple[str, bytes]]:
    """The build scripts and procedural macros that Cargo has linked: name, without a hash, and content."""
    patterns = ("build/*/build_script*-*", "deps/*.so")
    found = [path for pattern in patterns for path in folder.glob(f"target/debug/{pattern}") if path.suffix != ".d"]
    return sorted((path.name.partition("-")[0], path.read_bytes()) for path in found)


@pytest.fixture
def crate(tmp_path: Path) -> Path:
    """A kernel's package, linked by our `ld` by way of rustflags, and our programs beside it."""
    folder = package(tmp_path / "a crate")
    programs(folder)
    flags(folder, *LD)
    return folder


@pytest.mark.parametrize(
    ("words", "linker", "profile"),
    [
        (LD, "ld", "release"), (LD, "ld.lld", "dev"),
        (("-Clinker={bin}/ld", "-Clinker-flavor=ld"), "ld", "dev"),  # no linker script
        (("-Clinker={bin}/ld.lld", "-Clinker-flavor=ld.lld", *LD[2:]), "ld.lld", "release"),  # -flavor gnu
        (("-Clinker={bin}/ld", "-Clinker-flavor=ld.lld", *LD[2:]), "ld", "dev"),
        (("-Clinker=gcc", "-Clink-arg=-B{bin}", "-Clink-arg=-fuse-ld=bfd", *DRIVER), "ld", "dev"),
        (("-Clinker=clang", "-Clink-arg=--ld-path={bin}/ld", *DRIVER), "ld", "release"),
        (("-Clinker=clang", "-Clink-arg=--ld-path={bin}/ld.lld", *DRIVER), "ld.lld", "dev"),
    ],
)  # fmt: skip
def test_every_way_to_link_gives_a_true_table(crate: Path, words: tuple[str, ...], linker: str, profile: str) -> None:
    programs(crate, linker)
    flags(crate, *words)
    cargo(crate, "build", "--profile", profile)
    assert is_true(image(crate, profile.replace("dev", "debug")))


@pytest.mark.parametrize(
    ("lto", "more"), [("thin", "--version-script=all.map"), ("fat", "--emit-relocs"), ("fat", "--no-gc-sections")]
)
def test_optimized_links_give_a_true_table(crate: Path, lto: str, more: str) -> None:
    (crate / "all.map").write_text("{ global: *; };\n")
    flags(crate, *LD, f"-Clink-arg={more}")
    cargo(crate, "build", "--release", CARGO_PROFILE_RELEASE_LTO=lto)
    assert is_true(image(crate, "release"))


def test_words_in_a_response_file_give_a_true_table(crate: Path) -> None:
    long = [f"-Clink-arg=--trace-symbol={letter * 100_000}" for letter in "abcdefghijklmnopqrstuvwxyz"]  # over 2 MiB
    flags(crate, *LD, *long)
    cargo(crate, "build")
    assert is_true(image(crate))


def test_linker_that_needs_its_flavor_gets_it(crate: Path) -> None:
    linker = crate / "rust-lld"
    linker.write_text('#!/bin/sh\n[ "$1" = -flavor ] || exit 1\nshift 2\nexec ld.lld "$@"\n')
    linker.chmod(0o755)
    programs(crate, str(linker))
    flags(crate, "-Clinker={bin}/ld", "-Clinker-flavor=ld.lld", *LD[2:])
    cargo(crate, "build")
    assert is_true(image(crate))


def test_shipped_configuration_will_do(crate: Path) -> None:
    path = buildplug("path", "cargo", cwd=crate).stdout.strip()
    shutil.copy(path, crate / ".cargo" / "config.toml")
    edit(crate / "src" / "main.rs", ("use core", 'const _: &[u8] = include_bytes!("../buildplug.toml");\nuse core'))
    where = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    cargo(crate, "build", PATH=where)
    assert is_true(image(crate))
    edit(crate / "buildplug.toml", ('"functions"', '"functions"\nslack = 4096'))
    before = image(crate).stat().st_size
    cargo(crate, "build", PATH=where)
    assert image(crate).stat().st_size > before


def test_second_build_has_nothing_to_do(crate: Path) -> None:
    cargo(crate, "build")
    before = image(crate).stat()
    assert "Compiling" not in cargo(crate, "build").stderr
    assert image(crate).stat() == before


@pytest.mark.parametrize("incremental", ["0", "1"])
def test_changed_source_is_linked_again(crate: Path, incremental: str) -> None:
    cargo(crate, "build", CARGO_INCREMENTAL=incremental)
    more = '#[no_mangle]\n#[inline(never)]\nextern "C" fn thrice(n: u32) -> u32 { n ^ 3 }\n'
    edit(crate / "src" / "main.rs", ("assert_ne!(twice(rows), 1);", "assert_ne!(twice(thrice(rows)), 1);"))
    (crate / "src" / "main.rs").write_text((crate / "src" / "main.rs").read_text() + more)
    cargo(crate, "build", CARGO_INCREMENTAL=incremental)
    assert "thrice" in by_nm(image(crate))
    assert is_true(image(crate))


def test_nothing_is_written_outside_of_the_target_folder(crate: Path) -> None:
    cargo(crate, "generate-lockfile")
    before = {*crate.rglob("*")}
    cargo(crate, "build")
    cargo(crate, "clean")
    assert {*crate.rglob("*")} - {crate / "target"} == before


def test_messages_are_those_of_a_build_by_the_linker_alone(crate: Path) -> None:
    ours = cargo(crate, "build", "--message-format=json")
    cargo(crate, "clean")
    flags(crate, "-Clinker=ld", *LD[1:], "-Clink-arg=--defsym=bp_functions=0")
    plain = cargo(crate, "build", "--message-format=json")
    messages = [[json.loads(line) for line in done.stdout.splitlines()] for done in (ours, plain)]
    assert messages[0] == messages[1]
    assert any(message.get("executable") == str(image(crate)) for message in messages[0])


def test_each_kernel_of_a_workspace_has_its_own_configuration(tmp_path: Path) -> None:
    for name in ("first-kernel", "second-kernel"):
        package(tmp_path / name, name)
        edit(tmp_path / name / "Cargo.toml", (PROFILES, ""))
    members = '[workspace]\nmembers = ["first-kernel", "second-kernel"]\nresolver = "2"\n'
    (tmp_path / "Cargo.toml").write_text(members + PROFILES)
    (tmp_path / "kernel.lds").write_text(SCRIPT)
    flags(tmp_path, f"-Clinker={Path(sys.executable).with_name('buildplug-ld')}", *LD[1:])
    cargo(tmp_path, "build")
    assert [is_true(image(tmp_path, name=name)) for name in ("first-kernel", "second-kernel")] == [True, True]


def test_only_the_kernel_of_a_workspace_is_linked_by_us(crate: Path) -> None:
    source = package(crate / "other", "other-kernel") / "src" / "main.rs"
    edit(source, ('extern "C" { static bp_functions: u32; }', "static ROWS: u32 = 0;"), ("bp_functions", "ROWS"))
    edit(crate / "other" / "Cargo.toml", (PROFILES, ""))
    edit(crate / "Cargo.toml", ("[profile.dev]", '[workspace]\nmembers = ["other"]\n[profile.dev]'))
    cargo(crate, "build", "-p", "other-kernel", PYTHONHOME="/nowhere")  # a Python that is started fails the link
    assert ".bp_functions" not in section_names(image(crate, name="other-kernel"))


def test_programs_of_the_host_are_linked_as_by_the_linker_alone(crate: Path) -> None:
    """They are a build script and a procedural macro, in a build that has one list of flags for all."""
    (crate / "build.rs").write_text(BUILD)
    (crate / "macros" / "src").mkdir(parents=True)
    (crate / "macros" / "src" / "lib.rs").write_text(MACROS)
    (crate / "macros" / "Cargo.toml").write_text(MANIFEST.format(name="macros") + "[lib]\nproc-macro = true\n")
    with (crate / "Cargo.toml").open("a") as file:
        file.write('[dependencies]\nmacros = { path = "macros" }\n')
    edit(crate / "src" / "main.rs", ("use core", "macros::nothing!();\nuse core"))
    flags(crate, "-Clink-arg=-B{bin}", "-Clink-arg=-fuse-ld=bfd", host=True)
    cargo(crate, "build")
    ours = host_programs(crate)
    assert [name for name, _ in ours] == ["build_script_build", "libmacros"]
    assert is_true(crate / "target" / "debug" / "my-kernel")
    cargo(crate, "clean")
    (crate.parent / "bin" / "ld.bfd").unlink()
    (crate.parent / "bin" / "ld.bfd").symlink_to(str(shutil.which("ld.bfd")))
    edit(crate / "src" / "main.rs", ('extern "C" { static bp_functions: u32; }', "static bp_functions: u32 = 0;"))
    cargo(crate, "build")
    assert ours == host_programs(crate)


@pytest.mark.parametrize(
    ("output", "named"),
    [
        ("/t/debug/deps/my_kernel-0123456789abcdef", True), ("deps/my_kernel-0123456789abcdef", True),
        ("/t/debug/build/my-kernel/0123456789abcdef/out/my_kernel", True), ("/t/my-kernel", True),
        ("/t/debug/deps/my_kernel-0123456789abcde", False), ("/t/debug/deps/my_kernel-0123456789abcdeF", False),
        ("/t/my_kernel-0123456789abcdef", False), ("/t/debug/deps/your_kernel-0123456789abcdef", False),
        ("/t/debug/deps/my_kernel-0123456789abcdef.d", False), ("/t/out/my_kernel", False),
        ("/t/debug/build/my-kernel-0123456789abcdef/build_script_build-0123456789abcdef", False),
    ],
)  # fmt: skip
def test_output_is_known_by_the_name_that_cargo_gives_it(output: str, named: bool) -> None:
    assert names.is_of(output, "my-kernel") == named
