"""Fixtures: programs assembled and linked for a test, and rules for them."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import settings

from buildplug.arch.model import Arch
from buildplug.arch.x86 import X86_64
from buildplug.config import ops as ops_module
from buildplug.config.ops import Ops
from buildplug.config.rule import Rule, find
from buildplug.image.elf import Image
from buildplug.linker import fragment
from buildplug.linker.script import Placed, Placement
from buildplug.linux.versions import STAGES, LinkStage
from buildplug.stage import render
from buildplug.tables.sites_format import empty
from tests import linux_cross, linux_image
from tests.elfwriter import File
from tests.linux_cross import Cross
from tests.linux_image import Linux

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")

LOW, HIGH = 0x1000000, 0xFFFFFFFF81000000  # where kernels are linked

CC = {"x86_64": (), "i386": ("-m32",)}  # by architecture: what the tools of this machine need to hear
LD = {"x86_64": (), "i386": ("-m", "elf_i386")}

SCRIPT = """
SECTIONS
{
    . = %#x;
    .text : { *(.text .text.*) }
    .rodata : { *(.rodata .rodata.*) }
    .data : { *(.data .data.*) }
    .bss : { *(.bss .bss.*) }
    /DISCARD/ : { *(.note.*) *(.comment) *(.eh_frame) }
}
"""


def tool(*words: str | Path, cwd: Path | None = None) -> str:
    """Runs a program; its output. Fails the test, with what the program said, if the program fails."""
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


class Link(Protocol):
    def __call__(
        self, source: str, *, base: int = LOW, ld: str = "ld", language: str = "assembler", flags: Sequence[str] = (),
        arch: Arch = X86_64,
    ) -> Image: ...  # fmt: skip


@pytest.fixture
def link(tmp_path: Path) -> Link:
    """Compiles a source (language: assembler, c) and links it at `base` with its relocations kept."""

    def linked(
        source: str, *, base: int = LOW, ld: str = "ld", language: str = "assembler", flags: Sequence[str] = (),
        arch: Arch = X86_64,
    ) -> Image:  # fmt: skip
        text, made, script, image = (tmp_path / name for name in ("in.txt", "in.o", "in.lds", "image"))
        (tmp_path / "buildplug.h").write_text(render.runtime(arch, tmp_path)["buildplug.h"])
        text.write_text(source if language == "c" else f'{source}\n.section .note.GNU-stack, "", @progbits\n')
        script.write_text(SCRIPT % base)
        model = ("-mcmodel=kernel",) if base == HIGH else ()
        c = ("-O2", "-ffreestanding", "-fno-pic", "-fcf-protection=none", "-fno-asynchronous-unwind-tables", *model)
        words = ("c", *c) if language == "c" else ("assembler-with-cpp", "-include", tmp_path / "buildplug.h")
        tool("gcc", *CC[arch.name], "-x", *words, "-c", text, "-o", made)
        tool(ld, *LD[arch.name], "--emit-relocs", "-e", "0", "-T", script, *flags, made, "-o", image)
        return Image(image)

    return linked


class Written(Protocol):
    def __call__(self, file: File | bytes) -> Path: ...


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """The path of a file with the bytes that an ELF writer makes."""

    def write(file: File | bytes) -> Path:
        path = tmp_path / "written"
        path.write_bytes(file if isinstance(file, bytes) else file.write())
        return path

    return write


@dataclass(frozen=True)
class Draft:
    """A draft image, its ops and the rule of its table, which is empty."""

    image: Image
    rule: Rule
    ops: Ops


class Drafted(Protocol):
    def __call__(self, source: str, ops: str, rule: str = "paravirt") -> Draft: ...


@pytest.fixture
def drafted(tmp_path: Path) -> Drafted:
    """Links a source with the backends of an ops file and the stub of the table of a rule that ships."""

    def make(source: str, ops: str, rule: str = "paravirt") -> Draft:
        (tmp_path / "ops.toml").write_text(ops)
        declared, found = ops_module.read(tmp_path / "ops.toml", X86_64), find(rule, tmp_path)
        files = render.table_files(X86_64, found, declared, tmp_path)
        files |= {"stub.S": render.table(found, empty(X86_64), 0, tmp_path), "kernel.S": source}
        files |= {
            "ours.lds": fragment.placement([found], Placement((Placed(found, ".rodata", ""),))),
            "kernel.lds": SCRIPT % LOW,
        }
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        objects = [name for name in files if name.endswith(".S")]
        for name in objects:
            tool("gcc", "-c", name, "-o", f"{name}.o", cwd=tmp_path)
        scripts = ("-T", "ours.lds", "-T", "kernel.lds")
        tool("ld", "--emit-relocs", "-e", "0", *scripts, *(f"{n}.o" for n in objects), "-o", "draft", cwd=tmp_path)
        return Draft(Image(tmp_path / "draft"), found, declared)

    return make


def small_linux(linux: Linux) -> Path:
    """The image of a small Linux: built if its version is asked for, else the one in the cache."""
    version = linux.stage.version
    if os.environ.get("BUILDPLUG_LINUX") == version:
        try:
            return linux_image.prepare(linux)
        except linux_image.NoSource as error:
            pytest.skip(str(error))
    path = linux_image.cached(linux)
    if path is None:
        pytest.skip(f"no Linux {version} in the cache: `make test-linux VERSION={version}` builds it in 5 minutes")
    return path


@pytest.fixture(scope="session")
def vmlinux() -> Path:
    """The image of the small Linux of the oldest version, which has a list of each kind of site, and relocations."""
    return small_linux(linux_image.OLDEST)


@pytest.fixture(params=STAGES, ids=lambda stage: stage.version)
def stage(request: pytest.FixtureRequest) -> LinkStage:
    """Each form of Linux's link stage."""
    found: LinkStage = request.param
    return found


@pytest.fixture(scope="session", params=linux_image.LINUXES, ids=lambda linux: linux.stage.version)
def linux(request: pytest.FixtureRequest) -> Linux:
    """The versions of Linux whose link stage is known."""
    found: Linux = request.param
    return found


@pytest.fixture(scope="module")  # as modules have a `linux` of their own, which pytest would not tell from this one
def linux_tree(linux: Linux) -> Path:
    """The tree of a small Linux of that version, built with its own link stage."""
    return small_linux(linux).parent


@pytest.fixture(scope="session", params=linux_cross.CROSSES, ids=lambda cross: f"{cross.name}-{cross.version}")
def cross(request: pytest.FixtureRequest) -> Cross:
    """The other architectures that Linux is built for."""
    found: Cross = request.param
    return found


@pytest.fixture(scope="module")
def cross_image(cross: Cross) -> Path:
    """The image of a small Linux of another architecture, with its relocations, in the folder that it was built in."""
    return small_cross(cross)


def small_cross(cross: Cross) -> Path:
    asked = os.environ.get("BUILDPLUG_LINUX"), os.environ.get("BUILDPLUG_LINUX_ARCH")
    if asked == (cross.version, cross.name):
        return linux_cross.prepare(cross)
    path = linux_cross.cached(cross)
    if path is None:
        how = f"make test-linux VERSION={cross.version} ARCH={cross.name}"
        pytest.skip(f"no Linux {cross.version} for {cross.name} in the cache: `{how}` builds it in 5 minutes")
    return path


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where builds of a test make their temporary folder."""
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skips where no process may have another user, or mount: a container may forbid that."""
    tried = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(tried.stderr.strip())
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        pytest.skip(str(error))


@pytest.fixture
def heeded() -> Iterator[None]:
    """Signals that the tests were started to ignore, as by nohup, are not ignored by what they start."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
