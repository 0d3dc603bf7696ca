"""The wrapper as the linker of compiler drivers."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import tool
from tests.ld.programs import CONFIG, LINKERS, finds_its_functions, functions, linked_by
from tests.linker.kernels import mapping

HOSTED = """
#include <stdio.h>
extern const unsigned bp_functions[];
int twice(int);
int main(void) { printf("%u %d\\n", bp_functions[0], twice(4)); }
"""
FREESTANDING = """
extern const unsigned bp_functions[];
int twice(int);
void _start(void)
{
	register long status __asm__("%s") = twice(4) == 8 ? bp_functions[0] : 255, number __asm__("%s") = 93;

	__asm__ volatile("%s" : : "r"(status), "r"(number));
}
"""
HANDLERS = """
name = "handlers"
about = "what handles"
[select]
rows = "symbols"
functions = ["handle_*"]
[table]
flags = "aw"
fields = [{ name = "handler", type = "u8", value = "address", base = "zero" }]
"""
HANDLED = """
#include <stdio.h>
extern const struct { unsigned rows, row_size; void (*row[])(void); } bp_handlers;
__attribute__((noinline)) void handle_second(void) { puts("second"); }
__attribute__((noinline)) void handle_first(void) { puts("first"); }
int main(void) { for (unsigned i = 0; i < bp_handlers.rows; i++) bp_handlers.row[i](); }
"""
RUST = """
#![no_std]
#![no_main]
use core::{arch::asm, panic::PanicInfo, slice};

#[repr(C)]
struct Row { address: i32, size: u32, name: i32 }
#[repr(C)]
struct Table { rows: u32, row_size: u32, row: [Row; 0] }
extern "C" { static bp_functions: Table; }

#[no_mangle]
#[inline(never)]
extern "C" fn twice(n: u32) -> u32 { n * 2 }

#[no_mangle]
unsafe extern "C" fn _start() -> ! {
    let rows = slice::from_raw_parts(bp_functions.row.as_ptr(), bp_functions.rows as usize);
    let at = twice as *const () as usize;
    let found = rows.iter().any(|row| (&row.address as *const i32 as usize).wrapping_add(row.address as usize) == at);
    let status = if found { bp_functions.rows } else { 255 };
    asm!("syscall", in("eax") 60, in("edi") status, options(noreturn))
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! { loop {} }
"""
TWICE = "__attribute__((noinline)) int twice(int n) { return 2 * n; }\n"


@pytest.mark.parametrize(
    "driver",
    [
        "gcc -B{dir} -flto --ld=ld", "gcc -B{dir} -flto -no-pie -Wl,--gc-sections --ld=ld", "gcc -B{dir} --ld=mold",
        "gcc -B{dir} -static --ld=ld", "gcc -B{dir} -static-pie -fpie --ld=ld.lld", "gcc -B{dir} -static --ld=mold",
        "gcc -B{dir} -g --ld=ld.lld-19", "clang -B{dir} --ld=ld", "clang --ld-path={dir}/ld -flto --ld=ld.lld",
        "clang --ld-path={dir}/buildplug-ld -flto=thin -fno-pie -no-pie --ld=ld.lld",
    ],
)  # fmt: skip
def test_compiler_drivers_and_their_lto_go_through(work: Path, driver: str) -> None:
    (work / "main.c").write_text(HOSTED)
    (work / "twice.c").write_text(TWICE)
    command, linker = driver.split(" --ld=")
    linked_by(command, linker, work, "-O2", "main.c", "twice.c")
    assert tool(work / "prog").split() == [str(functions(work / "prog")), "8"]


@pytest.mark.parametrize(("arch", "leave"), [("aarch64", ("x0", "x8", "svc #0")), ("riscv64", ("a0", "a7", "ecall"))])
def test_cross_compilers_and_their_lto_go_through(work: Path, arch: str, leave: tuple[str, str, str]) -> None:
    (work / "main.c").write_text(FREESTANDING % leave)
    (work / "twice.c").write_text(TWICE)
    prefix = f"{arch}-linux-gnu-"
    driver = f"{prefix}gcc -B{{dir}} -flto -static -nostdlib -ffreestanding"
    program = linked_by(driver, f"{prefix}ld", work, "-O2", "main.c", "twice.c")
    done = subprocess.run([f"qemu-{arch}", program], check=False)
    assert done.returncode == functions(program) == 2


@pytest.mark.parametrize(("flag", "makes"), [("lld", "LLD"), ("bfd", "GCC: (")])
def test_driver_that_is_told_which_linker_gets_that_one_around_which_we_are(work: Path, flag: str, makes: str) -> None:
    (work / "main.c").write_text(HOSTED)
    (work / "twice.c").write_text(TWICE)
    program = linked_by(f"gcc -B{{dir}} -fuse-ld={flag}", "ld", work, "main.c", "twice.c")
    assert tool(program).split() == [str(functions(program)), "8"]
    assert ("Linker: " in (comment := tool("readelf", "-p.comment", program))) == (flag == "lld")
    assert makes in comment


@pytest.mark.parametrize(
    "driver", ["gcc -fuse-ld=lld", "clang -fuse-ld=lld-19", "gcc -fuse-ld=mold", "clang -fuse-ld=bfd"]
)
def test_every_name_of_a_linker_that_a_driver_looks_for_is_ours(work: Path, driver: str) -> None:
    (work / "main.c").write_text(HOSTED)
    (work / "twice.c").write_text(TWICE)
    program = linked_by(f"{driver} -B{{dir}}", "ld", work, "main.c", "twice.c")
    assert tool(program).split() == [str(functions(program)), "8"]


@pytest.mark.parametrize("linker", LINKERS)
def test_rustc_has_it_for_its_linker(work: Path, linker: str) -> None:
    (work / "prog.rs").write_text(RUST)
    flags = "-Cpanic=abort -Copt-level=2 -Crelocation-model=static -Clinker-flavor=ld -Clinker={dir}/ld"
    assert finds_its_functions(linked_by(f"rustc {flags}", linker, work, "prog.rs"))


@pytest.mark.parametrize("flags", ["-pie -Wl,-z,now", "-no-pie", "-pie -Wl,-z,noseparate-code,--build-id=none"])
@pytest.mark.parametrize("linker", LINKERS)
def test_position_independent_program_is_laid_out_as_by_the_linker_alone(work: Path, linker: str, flags: str) -> None:
    (work / "main.c").write_text(HOSTED)
    (work / "twice.c").write_text(TWICE)
    linked_by(f"gcc -B{{dir}} -O2 {flags}", linker, work, "main.c", "twice.c")
    (work / "plain").mkdir()
    (work / "plain" / "ld").symlink_to(str(shutil.which(linker)))
    words = (*flags.split(), "main.c", "twice.c", "-Wl,--defsym=bp_functions=main", "-o", "other")
    tool("gcc", "-Bplain", "-O2", *words, cwd=work)
    ours, plain = (mapping(work / name) for name in ("prog", "other"))
    del ours[".bp_functions"]
    assert list(ours.items()) == list(plain.items())
    ends = [
        re.findall(r"GNU_RELRO +0x\w+ 0x(\w+) 0x\w+ 0x\w+ 0x(\w+)", tool("readelf", "-lW", work / name))
        for name in ("prog", "other")
    ]
    assert len({(int(start, 16) + int(size, 16)) % 4096 for ((start, size),) in ends}) == 1


@pytest.mark.parametrize("flags", ["-pie", "-no-pie"])
@pytest.mark.parametrize("linker", LINKERS)
def test_addresses_that_the_loader_fills_in_are_true(work: Path, linker: str, flags: str) -> None:
    (work / "handlers.toml").write_text(HANDLERS)
    (work / "buildplug.toml").unlink()
    (work / "buildplug.toml").write_text(CONFIG.replace("functions", "handlers.toml"))
    (work / "main.c").write_text(HANDLED)
    program = linked_by(f"gcc -B{{dir}} -O2 -fpie {flags}", linker, work, "main.c")
    assert tool(program).split() == ["second", "first"]
