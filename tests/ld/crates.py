"""Kernels by Cargo: a workspace of them, built by real Cargo, and what their tables say."""

import os
import struct
import subprocess
from pathlib import Path

from buildplug.image.elf import Image
from tests.conftest import tool
from tests.samples import buildplug

TARGET = "x86_64-unknown-linux-gnu"
MANIFEST = """
[package]
name = "{name}"
version = "0.1.0"
edition = "2021"
"""
PROFILES = """
[profile.dev]
panic = "abort"
[profile.release]
panic = "abort"
debug = true
"""
KERNEL = """
#![no_std]
#![no_main]
use core::{panic::PanicInfo, ptr};

extern "C" { static bp_functions: u32; }

#[no_mangle]
#[inline(never)]
extern "C" fn twice(n: u32) -> u32 { n.wrapping_mul(2) }

#[no_mangle]
extern "C" fn _start() -> ! {
    let rows = unsafe { ptr::read_volatile(ptr::addr_of!(bp_functions)) };
    assert_ne!(twice(rows), 1);
    loop {}
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! { loop {} }

// What core, which is compiled to unwind, refers to where the optimizer has not thrown it out.
#[no_mangle]
extern "C" fn rust_eh_personality() {}
#[no_mangle]
extern "C" fn _Unwind_Resume() {}
"""
SCRIPT = """
ENTRY(_start)
SECTIONS
{
    . = 0xffffffff80100000;
    .text : { KEEP(*(.text._start)) *(.text .text.*) }
    .rodata : ALIGN(4096) { *(.rodata .rodata.*) }
    .data : ALIGN(4096) { *(.data .data.* .got .got.*) }
    .bss : { *(.bss .bss.*) }
    /DISCARD/ : { *(.comment .eh_frame*) }
}
"""
CONFIG = '[kernel]\nname = "{name}"\n[toolchain]\ncc = "gcc"\n[[table]]\nrule = "functions"\n'
MODEL = ("-Crelocation-model=static", "-Ccode-model=kernel")
LD = ("-Clinker={bin}/ld", "-Clinker-flavor=ld", "-Clink-arg=-Tkernel.lds")


def package(folder: Path, name: str = "my-kernel") -> Path:
    """A package that is a kernel, with a configuration."""
    texts = {"Cargo.toml": MANIFEST.format(name=name) + PROFILES, "src/main.rs": KERNEL, "kernel.lds": SCRIPT}
    texts["buildplug.toml"] = CONFIG.format(name=name)
    for file, text in texts.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    return folder


def flags(folder: Path, *words: str, host: bool = False) -> None:
    """Has Cargo give the words to rustc in the folder, besides those of a kernel; with `host`, the words alone, and
    when it makes programs for the host, too. {bin} in them is a folder of our programs, beside that of the crates."""
    listed = [word.format(bin=folder.parent / "bin") for word in ((() if host else MODEL) + words)]
    (folder / ".cargo").mkdir(exist_ok=True)
    target = "" if host else f'[build]\ntarget = "{TARGET}"\n'
    (folder / ".cargo" / "config.toml").write_text(f"{target}[target.{TARGET}]\nrustflags = {listed}\n")


def programs(folder: Path, linker: str = "ld") -> None:
    """Writes that folder of our programs."""
    done = buildplug("ld", "--into", folder.parent / "bin", "--config", folder, "--ld", linker, cwd=folder)
    assert done.returncode == 0, done.stderr


def cargo(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs Cargo; the test fails if it does."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CARGO_", "RUSTFLAGS"))}
    done = subprocess.run(
        ["cargo", *words], cwd=folder, env=env | {"CARGO_NET_OFFLINE": "true"} | variables, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def image(folder: Path, profile: str = "debug", name: str = "my-kernel") -> Path:
    return folder / "target" / TARGET / profile / name


def table(program: Path) -> dict[str, tuple[int, int]]:
    """The rows of the table of functions: name -> address, size. Addresses in it are distances from their fields."""
    read = Image(program)
    section = read.section(".bp_functions")
    content = read.bytes_of(section).tobytes()
    rows, row_size = struct.unpack_from("<II", content)
    found = {}
    for at in range(8, 8 + rows * row_size, row_size):
        address, size, name = struct.unpack_from("<iIi", content, at)
        start = at + 8 + name
        found[content[start : content.index(b"\0", start)].decode()] = ((section.address + at + address) % 2**64, size)
    return found


def by_nm(program: Path) -> dict[str, tuple[int, int]]:
    """The functions of a program by nm."""
    words = [line.split() for line in tool("nm", "-S", program).splitlines()]
    return {row[3]: (int(row[0], 16), int(row[1], 16)) for row in words if len(row) == 4 and row[2] in "tTwW"}


def is_true(program: Path) -> bool:
    """Whether the table is what nm says."""
    return "twice" in table(program) and table(program) == by_nm(program)
