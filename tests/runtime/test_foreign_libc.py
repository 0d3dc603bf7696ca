"""The generated C in a kernel with a libc of its own: no headers of the compiler, other types, macros for functions."""

from pathlib import Path

import pytest

from buildplug.arch.model import Arch
from buildplug.arch.x86 import I386, X86_64
from buildplug.config.rule import find
from buildplug.stage import render
from tests.conftest import tool
from tests.stage.test_render import OPS

TABLES = ("calls", "exports", "extable", "functions", "ksyms", "paravirt", "relocs", "static_calls")
# What a kernel may have before the first line of any file: `-include kernel.h`. The types disagree with stdint.h.
KERNEL_H = """
typedef unsigned char byte, uint8_t;
typedef unsigned long uint32_t;
typedef unsigned long long uint64_t, uintptr_t, size_t;
#define memcpy(to, from, size) kernel_memcpy(to, from, size)
#define offsetof(type, member) kernel_offsetof
#define UINT32_MAX kernel_max
#define INT32_MAX kernel_max
int open(const char *path), wait(int *status), close(int file);
"""
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-pie", "-mgeneral-regs-only", "-O2")


def generated(folder: Path, arch: Arch) -> Path:
    """The folder with all C and headers, and kernel.h."""
    texts = render.runtime(arch, folder)
    for name in TABLES:
        texts |= render.table_files(arch, find(name, folder), OPS if name == "paravirt" else None, folder)
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "kernel.h").write_text(KERNEL_H)
    headers = "".join(f'#include "{path.name}"\n' for path in sorted(folder.glob("*.h")) if path.name != "kernel.h")
    (folder / "headers.c").write_text(headers)
    return folder


@pytest.fixture(scope="module", params=[X86_64, I386], ids=lambda arch: arch.name)
def sources(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with all generated files, and the option that compiles for their architecture."""
    folder = generated(tmp_path_factory.mktemp("foreign"), request.param)
    return folder, f"-m{request.param.bits}"


def compile_all(folder: Path, compiler: str, *flags: str) -> None:
    files = sorted(path.name for path in folder.glob("*.c"))
    tool(compiler, *WARNINGS, *flags, "-c", *files, cwd=folder)


@pytest.mark.parametrize("standard", ["c99", "gnu99", "c11", "c17", "c2x"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_c_needs_no_header_and_nothing_of_the_kernels(
    sources: tuple[Path, str], compiler: str, standard: str
) -> None:
    folder, machine = sources
    own = ("-nostdinc", "-DBP_NO_STDINT", "-include", "kernel.h")
    compile_all(folder, compiler, machine, f"-std={standard}", *own)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_without_headers_of_the_compiler_none_is_included(sources: tuple[Path, str], compiler: str) -> None:
    folder, machine = sources
    compile_all(folder, compiler, machine, "-nostdinc", "-include", "kernel.h")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_headers_bring_stdint_where_there_is_one(sources: tuple[Path, str], compiler: str) -> None:
    folder, machine = sources
    user = "uintptr_t at;\nsize_t room = offsetof(struct bp_ksym, size);\n"
    (folder / "user.c_").write_text(f'#include "bp_ksyms.h"\n{user}')
    tool(compiler, *WARNINGS, machine, "-x", "c", "-c", "user.c_", "-o", "user.o", cwd=folder)


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_c_plus_plus_links_with_the_c(sources: tuple[Path, str], compiler: str) -> None:
    folder, machine = sources
    calls = "char line[9]; bp_ksyms_print(&bp_ksyms, 0, line, sizeof line); bp_exports_find(&bp_exports, 0, line, 0);"
    (folder / "user.cc").write_text(f'#include "headers.c"\nvoid user() {{ {calls} }}\n')
    tool(compiler, *WARNINGS, machine, "-c", "user.cc", "-o", "user.o", cwd=folder)
    listed = {line.split()[-1] for line in tool("nm", "-u", "user.o", cwd=folder).splitlines()}
    assert {"bp_ksyms", "bp_ksyms_print", "bp_exports", "bp_exports_find"} <= listed
