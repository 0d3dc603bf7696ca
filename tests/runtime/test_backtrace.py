"""bp_ksyms_backtrace() on stacks that are whole, spoilt and of other architectures: which calls it prints, and that it
reads nothing outside of the bounds. The table has no symbols, so that addresses are printed."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from buildplug.arch.x86 import X86_64
from buildplug.config.rule import find
from buildplug.image.elf import Image
from buildplug.runtime.ksyms import format_address, format_return_address
from buildplug.stage import render
from buildplug.tables.ksyms import KsymsFormat, collected
from tests.conftest import tool
from tests.ksyms_host import SANITIZERS

# Arguments: the first frame, the start and the end of the bounds, then the words of the stack: numbers, or with an @
# bytes from the start of the stack. The stack has exactly its size, so that the sanitizer sees each byte too far.
HOST = r"""
#include <stdio.h>
#include <stdlib.h>
#include "ksyms.h"
static uintptr_t stack;
static uintptr_t word(const char *text) { return *text == '@' ? stack + strtol(text + 1, 0, 0) : strtoul(text, 0, 0); }
static void print(const char *line) { puts(line); }
int main(int count, char **words)
{
	static const struct bp_ksyms none;
	uintptr_t *place = malloc((count - 4) * sizeof(*place));
	stack = (uintptr_t)place;
	for (int i = 4; i < count; i++) place[i - 4] = word(words[i]);
	void *frame = (void *)word(words[1]), *start = (void *)word(words[2]), *end = (void *)word(words[3]);
	printf("%u\n", bp_ksyms_backtrace(&none, frame, start, end, print));
	free(place);
}
"""
Trace = Callable[..., list[str]]


def built(folder: Path, record: tuple[int, int]) -> Trace:
    arch = replace(X86_64, frame_record=record)
    for name, text in render.runtime(arch, folder, [KsymsFormat()]).items():
        (folder / name).write_text(text)
    (folder / "host.c").write_text(HOST)
    tool("gcc", *SANITIZERS, "host.c", "ksyms.c", "-o", "host", cwd=folder)

    def trace(*stack: object, frame: str = "@0", start: str = "@0", end: str | None = None) -> list[str]:
        """The lines that it prints; `end` is that of the stack by default."""
        bounds = [frame, start, end or f"@{8 * len(stack)}"]
        done = subprocess.run(
            [folder / "host", *bounds, *map(str, stack)], capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr
        *lines, count = done.stdout.splitlines()
        assert int(count) == len(lines)
        return lines

    return trace


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    return built(tmp_path_factory.mktemp("backtrace"), X86_64.frame_record or (0, 1))


def test_each_frame_is_a_line_up_to_the_first_function(trace: Trace) -> None:
    assert trace("@24", 0x10, 0, "@48", 0x20, 0, 0x30) == ["0x10", "0x20"]  # @48 has room for one word only
    assert trace("@24", 0x10, 0, 0, 0x20) == ["0x10", "0x20"]


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (("@0", 0x10, 0, 0x20), 1),  # of itself
        (("@16", 0x10, "@0", 0x20), 2),  # a loop
        (("@17", 0x10, 0, 0x20, 0, 0), 1),  # misaligned
        (("@800", 0x10, 0, 0x20), 1),  # beyond the stack
        (("@-16", 0x10, 0, 0x20), 1),
        ((0xFFFFFFFFFFFFFFF8, 0x10), 1),
        ((8, 0x10), 1),
        (("@16", 0x10, 0, 0), 1),  # no return address
    ],
)
def test_a_chain_that_is_spoilt_ends(trace: Trace, words: tuple[object, ...], printed: int) -> None:
    assert len(trace(*words)) == printed


def test_a_stack_that_is_not_aligned_is_walked(trace: Trace) -> None:
    words = (0x18 << 32, 0x10 << 32, 0, 0x20 << 32, 0)  # from byte 4 on: a frame pointer, a return address, …
    assert trace(*words, frame="@4") == ["0x10"]


@pytest.mark.parametrize("frame", ["@8", "@16", "@-8", "@1", "8", "0xfffffffffffffff8"])
def test_a_first_frame_outside_of_the_bounds_is_not_read(trace: Trace, frame: str) -> None:
    assert trace(0, 0x10, frame=frame) == []


@pytest.mark.parametrize(("start", "end"), [("@8", "@16"), ("@0", "@15"), ("@16", "@0"), ("0", "0")])
def test_nothing_outside_of_the_bounds_is_read(trace: Trace, start: str, end: str) -> None:
    assert trace(0, 0x10, start=start, end=end) == []


def test_an_endless_recursion_has_an_end(trace: Trace) -> None:
    stack = [word for i in range(1000) for word in (f"@{16 * i + 16}", 0x10)]
    assert len(trace(*stack)) == 64


def test_without_a_frame_it_starts_with_its_own_call(trace: Trace) -> None:
    assert len(trace(0, frame="0", start="0", end="0xffffffffffffffff")) >= 1


def test_riscv_keeps_both_words_below_the_frame_pointer(tmp_path: Path) -> None:
    trace = built(tmp_path, (-2, -1))
    stack = ("@40", 0x10, 0, 0, 0x20)
    assert trace(*stack, frame="@16") == ["0x10", "0x20"]
    assert trace(*stack, frame="@8") == []
    assert trace(*stack, frame="@16", end="@32") == ["0x10"]


def test_a_call_at_the_end_of_a_function_is_that_functions(tmp_path: Path) -> None:
    """As the program says itself: the return address of a call that does not return, and its function."""
    (tmp_path / "kernel.S").write_text(
        ".globl _start, last, next\n.type last, @function\n.type next, @function\n"
        "_start:\nlast:\tnop\n\tcall stop\n.size last, . - last\nnext: nop\nstop: hlt\n.size next, . - next\n"
    )
    tool("gcc", "-nostdlib", "-static", "kernel.S", "-o", "kernel", cwd=tmp_path)
    image = Image(tmp_path / "kernel")
    table, at = collected(image, find("ksyms", tmp_path), 0), image.address_of("next") or 0
    assert format_address(table, 0, at) == b"next+0x0/0x2"
    assert format_return_address(table, 0, at) == b"last+0x5/0x6"
