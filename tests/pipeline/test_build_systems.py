"""The rules for build systems, by the real tools, on the sample kernel: the bytes of `buildplug build`, nothing done
twice, and nothing left undone."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from buildplug.base.data import build_system
from buildplug.config.project import read
from tests.samples import SAMPLE, buildplug, built, copy_sample, edit

BIN = Path(sys.executable).parent  # of the tools that came with our packages

CONFIG = read(SAMPLE)
CFLAGS, ASFLAGS = " ".join(CONFIG.compile.cflags), " ".join(CONFIG.compile.asflags)
LDFLAGS = " ".join([*CONFIG.link.flags, "--emit-relocs"])
FOLDERS = CONFIG.compile.include
INCLUDE = " ".join(f"-I{folder}" for folder in FOLDERS)
SOURCES = CONFIG.sources
NAMES = {Path(source).name for source in SOURCES}


def path_of(system: str) -> str:
    return buildplug("path", system).stdout.strip()


def make(kernel: Path) -> list[list[str]]:
    (kernel / "Makefile").write_text(f"""
CFLAGS := {CFLAGS}
ASFLAGS := {ASFLAGS}
all: build/vmlinux
include $(shell buildplug path make)
objects := $(patsubst %,build/%.o,$(sort $(wildcard *.[cS] x86_64/*.[cS])) $(notdir $(BUILDPLUG_SOURCES)))
vpath %.c $(BUILDPLUG_DIR)
vpath %.S $(BUILDPLUG_DIR)
build/%.c.o: %.c
	@mkdir -p $(@D)
	gcc $(CFLAGS) {INCLUDE} -I$(BUILDPLUG_DIR) -MMD -c $< -o $@
build/%.S.o: %.S
	@mkdir -p $(@D)
	gcc $(ASFLAGS) {INCLUDE} -I$(BUILDPLUG_DIR) -MMD -c $< -o $@
build/vmlinux: $(objects)
	$(BUILDPLUG_LINK) {LDFLAGS} -T kernel.lds $(objects)
-include build/vmlinux.d $(objects:.o=.d)
""")
    return [["make"]]


def ninja(kernel: Path) -> list[list[str]]:
    files = [
        Path(name).name for name in buildplug("runtime", kernel / "listed", "--config", kernel).stdout.splitlines()
    ]
    shutil.rmtree(kernel / "listed")
    generated = [f"build/gen/{name}" for name in files]
    sources = [*SOURCES, *(name for name in generated if not name.endswith(".h"))]
    objects = [f"build/{source}.o" for source in sources]
    edges = [
        f"build {made}: {source[-1]} {source} || build/gen/{files[0]}"
        for source, made in zip(sources, objects, strict=True)
    ]
    (kernel / "build.ninja").write_text(f"""
include {path_of("ninja")}
rule c
  command = gcc {CFLAGS} {INCLUDE} -Ibuild/gen -MMD -MF $out.d -c $in -o $out
  deps = gcc
  depfile = $out.d
rule S
  command = gcc {ASFLAGS} {INCLUDE} -Ibuild/gen -MMD -MF $out.d -c $in -o $out
  deps = gcc
  depfile = $out.d
build {" ".join(generated)}: buildplug_runtime
{chr(10).join(edges)}
build build/vmlinux: buildplug_ld {" ".join(objects)} | kernel.lds
  ldflags = {LDFLAGS} -T kernel.lds
default build/vmlinux
""")
    return [["ninja", "-v"]]


def cmake(kernel: Path, generator: str) -> list[list[str]]:
    (kernel / "CMakeLists.txt").write_text(f"""
cmake_minimum_required(VERSION 3.20)
project(kernel C ASM)
find_package(buildplug REQUIRED)
add_library(kernel OBJECT {" ".join(SOURCES)})
target_include_directories(kernel PRIVATE {" ".join(FOLDERS)})
target_compile_options(kernel PRIVATE "$<$<COMPILE_LANGUAGE:C>:{CFLAGS.replace(" ", ";")}>"
	"$<$<COMPILE_LANGUAGE:ASM>:{ASFLAGS.replace(" ", ";")}>")
buildplug_link(kernel OPTIONS {LDFLAGS} -T ${{CMAKE_CURRENT_SOURCE_DIR}}/kernel.lds)
""")
    words = ["-DCMAKE_C_COMPILER=gcc", "-DCMAKE_ASM_COMPILER=gcc", f"-Dbuildplug_DIR={path_of('cmake')}"]
    configure = ["cmake", "-S", ".", "-B", "build", "-G", generator, *words]
    return [configure, ["cmake", "--build", "build", "--verbose"]]


def meson(kernel: Path) -> list[list[str]]:
    (kernel / "buildplug").mkdir()
    shutil.copy(path_of("meson"), kernel / "buildplug")
    names, args, link = (repr(words.split()) for words in (" ".join(SOURCES), CFLAGS, LDFLAGS))
    (kernel / "meson.build").write_text(f"""
project('kernel', 'c', default_options: ['buildtype=plain', 'b_staticpic=false', 'warning_level=0'])
buildplug_config = files('buildplug.toml')
subdir('buildplug')
kernel = static_library(
  'kernel', {names}, buildplug_runtime, c_args: {args}, include_directories: {[*FOLDERS]}, build_by_default: false,
)
custom_target(
  'vmlinux',
  input: kernel.extract_all_objects(recursive: false),
  output: 'vmlinux',
  command: buildplug_link + {link} + ['-T', meson.current_source_dir() / 'kernel.lds'],
  depfile: 'vmlinux.d',
  build_by_default: true,
)
""")
    return [["meson", "setup", "build", "."], ["ninja", "-v", "-C", "build"]]


def doit(kernel: Path) -> list[list[str]]:
    return [["doit", "-f", path_of("doit"), "-d", str(kernel), "-v", "2"]]


SYSTEMS: dict[str, Callable[[Path], list[list[str]]]] = {
    "make": make,
    "ninja": ninja,
    "cmake ninja": lambda kernel: cmake(kernel, "Ninja"),
    "cmake make": lambda kernel: cmake(kernel, "Unix Makefiles"),
    "meson": meson,
    "doit": doit,
}


def run(kernel: Path, command: list[str]) -> str:
    """What a tool says; the tools find the command `buildplug`, gcc notes its runs."""
    env = os.environ | {"PATH": f"{kernel.parent / 'bin'}:{BIN}:{os.environ['PATH']}", "CC": "gcc"}
    done = subprocess.run(
        command, cwd=kernel, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def compiled(log: Path) -> list[str]:
    """The sources of the kernel that were compiled since the last call; "link" for a link with tables."""
    words = [line.split() for line in log.read_text().splitlines()]
    log.write_text("")
    sources = [Path(w).name for line in words if "-c" in line for w in line if w.endswith((".c", ".S"))]
    return sorted(name for name in sources if name in NAMES)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    kernel = copy_sample(tmp_path_factory.mktemp("reference") / "kernel")
    built(kernel)
    return (kernel / "build" / "vmlinux").read_bytes()


@pytest.mark.parametrize("system", SYSTEMS)
def test_build_system_makes_the_same_kernel_and_nothing_twice(tmp_path: Path, reference: bytes, system: str) -> None:
    kernel, log = copy_sample(tmp_path / "kernel"), tmp_path / "log"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gcc").write_text(f'#!/bin/sh\necho "gcc $*" >>"{log}"\nexec {shutil.which("gcc")} "$@"\n')
    (tmp_path / "bin" / "gcc").chmod(0o755)
    commands = SYSTEMS[system](kernel)
    for command in commands:
        run(kernel, command)
    image = next(path for path in (kernel / "build").rglob("vmlinux") if path.is_file())
    assert image.read_bytes() == reference
    assert set(NAMES) <= set(compiled(log))

    before = image.stat().st_mtime_ns  # nothing to do
    run(kernel, commands[-1])
    assert log.read_text() == ""
    assert image.stat().st_mtime_ns == before

    edit(kernel / "main.c", ("kernel_main(", "/* the same */ kernel_main("))  # one source
    run(kernel, commands[-1])
    assert compiled(log) == ["main.c"]
    assert image.read_bytes() == reference

    with (kernel / "shim.h").open("a") as file:  # a header
        file.write("/* the same */\n")
    run(kernel, commands[-1])
    found = compiled(log)
    assert "shim.c" in found
    assert "serial.c" not in found

    edit(kernel / "kernel.lds", ("SECTIONS\n{", "SECTIONS\n{\n\tnew_symbol = 1;"))  # the linker script
    run(kernel, commands[-1])
    assert compiled(log) == []
    assert image.read_bytes() != reference
    edit(kernel / "kernel.lds", ("\tnew_symbol = 1;\n", ""))

    edit(kernel / "paravirt.toml", ('inline = "mov %cr3, %{ax}"', 'inline = "nop; mov %cr3, %{ax}"'))  # an op
    run(kernel, commands[-1])
    assert compiled(log) == []
    built(kernel, "--build-dir", tmp_path / "other")
    assert image.read_bytes() == (tmp_path / "other" / "vmlinux").read_bytes() != reference

    edit(kernel / "buildplug.toml", ('[[table]]\nrule = "calls"', '[[table]]\nrule = "calls"\nslack = 64'))  # a table
    run(kernel, commands[-1])
    assert compiled(log) == []
    built(kernel, "--build-dir", tmp_path / "other")
    assert image.read_bytes() == (tmp_path / "other" / "vmlinux").read_bytes()


def test_each_system_is_told_where_its_rules_are() -> None:
    for system in ("make", "ninja", "cargo", "cmake", "meson", "doit"):
        assert Path(path_of(system)).exists()
        assert Path(path_of(system)).is_relative_to(build_system(""))
