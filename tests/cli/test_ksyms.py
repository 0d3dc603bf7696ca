"""`buildplug ksyms` reads an image as data: nothing of the current folder is run; its list is that of nm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Written, tool
from tests.elfwriter import ALLOC, EXEC, FUNC, File, Section, Symbol
from tests.samples import buildplug


def test_templates_of_the_current_folder_are_not_rendered(written: Written, tmp_path: Path) -> None:
    image = written(File([Section(".text", bytes(16), 0x1000, ALLOC | EXEC)], [Symbol("_text", 0x1000, 16, FUNC)]))
    (tmp_path / "kallsyms.S.j2").write_text("not ours")
    done = buildplug("ksyms", image, "--format", "kallsyms", cwd=tmp_path)
    assert "not ours" not in done.stdout
    assert "kallsyms_num_syms" in done.stdout


C = """
int zero, one = 1; static int own[9] = {1}; const int fixed = 2; __thread int each = 3;
__attribute__((weak)) int may_be = 3;
__attribute__((weak)) int maybe(void) { return own[one]; }
extern __attribute__((weak)) int missing, missing_too(void); extern int same __attribute__((alias("one")));
static int way(void) { return 3; } static int (*resolve(void))(void) { return way; }
int ifunc(void) __attribute__((ifunc("resolve")));
static int f(void) { return maybe() + zero; }
int _start(void) { return f() + fixed + same + ifunc() + each + (&missing ? missing : 0) + missing_too(); }
"""
CXX = """
namespace a { template<class T> struct S {
    static T &g() { static T q = 4; return q; } virtual ~S() {} }; inline int v = 7; }
struct V : virtual a::S<int> { int x; };
void operator delete(void *, __SIZE_TYPE__) noexcept {}
int twice() { V v; return a::S<int>::g() + a::v + v.x; }
"""
ASSEMBLY = """
.globl "\\351t\\351", "two words", absolute, unique
"\\351t\\351": "two words": nop
label: nop
.section .rodata; fixed_here: .quad 0; .text; absolute = 0x1234
local = 0x77; .weak weak_absolute; weak_absolute = 5; .comm common, 16, 8
.type object, @object; object: nop; .weak wi; .type wi, @gnu_indirect_function; wi: ret
.data; .type unique, @gnu_unique_object; unique: .quad 1; .size unique, 8; .weak weak_data; weak_data: .quad 0
.section .custom, "aw"; in_custom: .quad 0
.section .debug_own, ""; in_debug: .quad 0
.section .noted, "", @note; in_note: .quad 0
.section .writable, "w"; in_writable: .quad 0
.section .nothing, "a", @nobits; in_nothing: .skip 8
.section .edata, "aw"; .globl in_edata; in_edata: .quad 0; in_edata_too: .quad 0
.section .pdata.x, "aw"; in_pdata: .quad 0
.section .idatax, "aw"; not_in_idata: .quad 0
.section .note.GNU-stack, "", @progbits
"""
LDS = (
    "SECTIONS { physical = .; . = 0x100000; .text : { *(.text .text.*) end = .; } after = .; .rodata : { *(.rodata*) } "
    ".data : { *(.data) } .bss : { *(.bss) *(COMMON) } tail = . + 0x10000000; }"
)


@pytest.mark.parametrize("script", [[], ["-T", "k.lds"]], ids=["", "script"])
@pytest.mark.parametrize("arch", ["-m64", "-m32"])
@pytest.mark.parametrize(("ours", "nms"), [((), "-n"), (("--sizes",), "-nS")])
def test_the_list_is_that_of_nm(tmp_path: Path, arch: str, script: list[str], ours: tuple[str, ...], nms: str) -> None:
    for name, text in (("k.c", C), ("x.cc", CXX), ("odd.S", ASSEMBLY), ("k.lds", LDS)):
        (tmp_path / name).write_text(text)
    common = (arch, "-w", "-ffreestanding", "-fno-pie", "-no-pie", "-fno-exceptions", "-fno-stack-protector")
    plain = ("-nostdlib", "-static", "-fno-rtti", "-fno-threadsafe-statics")
    sources = ("-x", "c", "k.c", "-x", "c++", "x.cc", "-x", "none", "odd.S")
    tool("g++", *common, *plain, *sources, *script, "-o", "k", cwd=tmp_path)
    words = [sys.executable, "-m", "buildplug", "ksyms", "k", "--format", "nm", *ours]
    listed = subprocess.run(words, cwd=tmp_path, capture_output=True, check=True).stdout
    by_byte = os.environ | {"LC_ALL": "C"}
    expected = subprocess.run(["nm", nms, "k"], cwd=tmp_path, env=by_byte, capture_output=True, check=True).stdout
    lines = expected.splitlines(keepends=True)
    assert {line.split()[-2] for line in lines} >= set(b"T t D d B b R r W V A a i u N n e p".split())
    left_out = (b" each\n", b" missing\n", b" missing_too\n", b" __ehdr_start\n")  # without an address, or the linker's
    assert listed == b"".join(line for line in lines if not line.endswith(left_out))


def test_sizes_are_for_the_list(tmp_path: Path, written: Written) -> None:
    image = written(File([Section(".text", bytes(16), 0x1000, ALLOC | EXEC)], [Symbol("f", 0x1000, 16, FUNC)]))
    assert buildplug("ksyms", image, "--sizes", "--format", "json").returncode == 2
    assert buildplug("ksyms", image, "--sizes", "f").returncode == 2
    assert buildplug("ksyms", image, "--sizes").stdout == "0000000000001000 0000000000000010 T f\n"


def test_address_behind_a_function_may_be_a_return_address(written: Written) -> None:
    image = written(File([Section(".text", bytes(16), 0x1000, ALLOC | EXEC)], [Symbol("f", 0x1000, 16, FUNC)]))
    said = [buildplug("ksyms", image, address).stdout for address in ("0x100f", "0x1010", "0x1011")]
    assert said == ["f+0xf/0x10\n", "0x1010, or as a return address f+0xf/0x10\n", "0x1011\n"]


def test_trimmed_names_are_listed_and_found(tmp_path: Path, written: Written) -> None:
    symbols = [Symbol("_Z1fIiEvi", 0x1000, 4, FUNC), Symbol("_Z1fIcEvi", 0x1004, 4, FUNC)]
    image = written(File([Section(".text", bytes(16), 0x1000, ALLOC | EXEC)], symbols))
    listed = buildplug("ksyms", image, "--trim", "generics").stdout.splitlines()
    assert [line.split(" ", 2)[2] for line in listed] == ["void f<...>(int)"] * 2
    found = buildplug("ksyms", image, "--trim", "all", "void f<...>(...)", "0x1005").stdout.splitlines()
    assert found == ["0x1000 T", "0x1004 T", "void f<...>(...)+0x1/0x4"]
    assert buildplug("ksyms", image, "--trim", "all", "_Z1fIcEvi").stdout == "0x1004 T\n"
    assert buildplug("ksyms", image, "--trim", "all", "--format", "kallsyms").returncode == 2
