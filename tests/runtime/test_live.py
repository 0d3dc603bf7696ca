"""Changes of sites that run: what they are; live.c on this machine's processors, with signals for interrupts."""

import ctypes
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildplug.arch import model, x86
from buildplug.stage import render
from buildplug.tables.sites_format import ERRORS
from tests.conftest import tool
from tests.layouts import HIGH, LOW, Layout, corrupted, from_seed
from tests.runtime.native import FLAGS, WARNINGS, Native, seeds

LONGEST = max(form.length for form in x86.X86_64.forms)
ROOM = 64


class Change(ctypes.Structure):
    """struct bp_change"""

    _fields_ = (
        ("site", ctypes.c_uint64),
        ("length", ctypes.c_uint8),
        ("instruction", ctypes.c_uint8),
        ("first", ctypes.c_uint8),
        ("bytes", ctypes.c_uint8 * LONGEST),
    )


def changes(native: Native, layout: Layout, room: int) -> tuple[str, int, list[Change]]:
    """What bp_changes says of a layout: error, count, and all of its array."""
    array, count = (Change * ROOM)(), ctypes.c_uint32(room)
    native.load(layout)
    native.library.bp_changes.restype = native.library.bp_switch.restype
    native.library.bp_changes.argtypes = [ctypes.c_void_p] * 7
    bounds = (layout.at, 0, layout.backend, layout.start, layout.end)
    status = native.library.bp_changes(*bounds, array, ctypes.byref(count))
    assert native.result(layout, status)[1] == layout  # nothing is written
    return list(ERRORS)[status.error], count.value, list(array)


@pytest.mark.parametrize("native", ["c"], indirect=True)  # the Rust lists no changes
@pytest.mark.parametrize("regions", [(LOW,), (LOW, HIGH)])
def test_changes_are_what_a_switch_writes(native: Native, regions: tuple[int, ...]) -> None:
    kinds = set[str]()

    @settings(max_examples=300)
    @given(seeds, st.booleans())
    def run(seed: int, spoil: bool) -> None:
        rng = random.Random(seed)
        layout = from_seed(rng, regions)
        layout = corrupted(rng, layout) if spoil else layout
        status, fixed = layout.fixed()
        error, count, found = changes(native, layout, ROOM)
        assert (error, count) == (status.error, count if status.error == "ok" else 0)
        after = layout
        for change in found[:count]:
            assert change.first == layout.read(change.site, 1)[0]
            after = after.changed(change.site, bytes(change.bytes[: change.length]))
        assert after.regions == (fixed.regions if status.error == "ok" else layout.regions)
        sites = [change.site for change in found[:count]]
        assert sites == sorted(sites)
        forms = {at: x86.X86_64.forms[form] for at, form, _ in (layout.table.rows(layout.at, 1 << 64) if sites else ())}
        assert all(change.instruction == (forms[change.site].at > 0) for change in found[:count])
        kinds.update(forms[at].name for at in sites)

    run()
    assert len(kinds) > 10


@pytest.mark.parametrize("native", ["c"], indirect=True)  # the Rust lists no changes
def test_changes_for_which_there_is_no_room_are_counted(native: Native) -> None:
    layout = next(
        layout
        for layout in (from_seed(random.Random(seed), (LOW,)) for seed in range(1000))
        if layout.fixed()[0].error == "ok" and changes(native, layout, ROOM)[1] > 2
    )
    _, count, all_of_them = changes(native, layout, ROOM)
    _, counted, some = changes(native, layout, 2)
    assert counted == count
    assert [change.site for change in some] == [change.site for change in all_of_them[:2]] + [0] * (ROOM - 2)


HOST = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include "live.h"

/*
 * 16 sites of 10 bytes, which add 1 to eax by a call of a function behind them, or 5 by five instructions: whoever
 * runs them gets 16 and a multiple of 4. And a field inside an instruction, on two lines of the cache.
 */
enum { SITES = 16, LENGTH = 10, PATIENCE = 100000 };
enum { FIELD_LINKED = 0x12345678, FIELD_CHANGED = 0x3edcba98 };

__asm__(".pushsection .live, \"awx\", @progbits\n"
	"run_sites: xorl %eax, %eax\n"
	"sites: .rept 16\n call add_one\n .byte 0x3e, 0x3e, 0x3e, 0x66, 0x90\n .endr\n"
	".balign 64, 0x90\n .skip 61, 0x90\n movl $0x12345678, %edx\n field = . - 4\n"
	"shlq $32, %rdx\n orq %rdx, %rax\n ret\n"
	"add_one: addl $1, %eax\n ret\n"
	"fives: .rept 5\n addb $1, %al\n .endr\n" /* of two bytes each */
	".popsection\n");
uint64_t run_sites(void);
extern uint8_t sites[SITES][LENGTH], field[4], fives[LENGTH];

static uint8_t linked[SITES][LENGTH];
static struct bp_change changes[SITES + 1];
static pthread_t runner;
static const uintptr_t *stack_top;
static volatile int stop, blind, stuck;
static volatile unsigned long runs, traps, wrong;

static void summon(struct bp_live *live)
{
	(void)live;
	pthread_kill(runner, SIGUSR1);
}

static int inside(const struct bp_live *live, const void *frame)
{
	const ucontext_t *context = frame;
	const uintptr_t *word;

	if (!frame || blind)
		return 0;
	if (stuck)
		return 1;
	if (bp_live_inside(live, (uintptr_t)context->uc_mcontext.gregs[REG_RIP]))
		return 1;
	for (word = (const uintptr_t *)context->uc_mcontext.gregs[REG_RSP]; word < stack_top; word++)
		if (bp_live_inside(live, *word))
			return 1;
	return 0;
}

static struct bp_live live = { .write = bp_write, .others = 1, .summon = summon, .inside = inside };

static void interrupt(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info;
	bp_live_attend(&live, context);
}

static void breakpoint(int number, siginfo_t *info, void *context)
{
	greg_t *ip = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	(void)number, (void)info;
	if (!bp_live_trap(&live, (uintptr_t *)ip, context))
		_exit(4);
	traps++;
}

static void *run(void *nothing)
{
	stack_top = __builtin_frame_address(0);
	while (!stop) {
		uint64_t found = run_sites();
		uint32_t sum = (uint32_t)found, high = found >> 32;

		wrong += sum < SITES || sum > 5 * SITES || (sum - SITES) % 4;
		wrong += high != FIELD_LINKED && high != FIELD_CHANGED;
		runs++;
	}
	return nothing;
}

int main(int count, char **arguments)
{
	unsigned long number = strtoul(arguments[1], 0, 0);
	int plain = count > 2 && !strcmp(arguments[2], "plain");
	struct sigaction action = { .sa_flags = SA_SIGINFO | SA_RESTART };

	blind = count > 2 && !strcmp(arguments[2], "blind");
	stuck = count > 2 && !strcmp(arguments[2], "stuck");
	sigfillset(&action.sa_mask);
	action.sa_sigaction = interrupt;
	sigaction(SIGUSR1, &action, 0);
	action.sa_sigaction = breakpoint;
	sigaction(SIGTRAP, &action, 0);
	memcpy(linked, sites, sizeof(linked));
	pthread_create(&runner, 0, run, 0);
	while (!runs)
		;
	for (unsigned long i = 0; i < number; i++) {
		uint32_t value = i % 2 ? FIELD_LINKED : FIELD_CHANGED;

		changes[SITES] = (struct bp_change){ .site = field, .length = sizeof(value) };
		memcpy(changes[SITES].bytes, &value, sizeof(value));
		if (plain)
			bp_write(0, field, &value, sizeof(value));
		for (unsigned j = 0; j < SITES; j++) {
			changes[j].site = sites[j];
			changes[j].length = LENGTH;
			changes[j].instruction = 1;
			changes[j].first = sites[j][0];
			memcpy(changes[j].bytes, i % 2 ? linked[j] : fives, LENGTH);
			if (plain)
				bp_write(0, sites[j], changes[j].bytes, LENGTH);
		}
		for (unsigned tries = 0; !plain && !bp_live_apply(&live, changes, SITES + 1); tries++)
			if (stuck || tries == PATIENCE)
				return memcmp(sites, linked, sizeof(linked)) ? 5 : 3;
		if (memcmp(field, &value, sizeof(value)))
			return 6;
		for (unsigned j = 0; j < SITES; j++)
			if (memcmp(sites[j], i % 2 ? linked[j] : fives, LENGTH))
				return 6;
	}
	stop = 1;
	pthread_join(runner, 0);
	printf("%lu wrong, runs %d, traps %d\n", wrong, runs > 0, traps > 0);
	return 0;
}
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that changes sites while another thread runs them, so many times."""
    folder = tmp_path_factory.mktemp("live")
    for name, text in (render.runtime(x86.X86_64, folder) | {"host.c": HOST}).items():
        (folder / name).write_text(text)
    sources = [folder / name for name in ("host.c", "live.c", "fixup.c")]
    tool("gcc", *WARNINGS, "-O2", "-pthread", "-Wl,--no-warn-rwx-segments", *sources, "-o", folder / "host")
    return folder / "host"


def changed(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=900, check=False)


def test_sites_change_ten_thousand_times_while_another_processor_runs_them(host: Path) -> None:
    done = changed(host, "10000")
    assert (done.returncode, done.stdout) == (0, "0 wrong, runs 1, traps 1\n")


def test_nothing_changes_if_a_site_is_never_left(host: Path) -> None:
    as_before = 3
    assert changed(host, "1", "stuck").returncode == as_before


@pytest.mark.parametrize("how", ["plain", "blind"])
def test_it_shows_when_bytes_are_written_without_the_protocol_or_in_front_of_who_is_inside(
    host: Path, how: str
) -> None:
    done = changed(host, "1000000", how)  # mostly a second is enough
    assert (done.returncode, done.stdout.startswith("0 wrong")) != (0, True)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("made_for", [x86.X86_64, x86.I386], ids=lambda made_for: made_for.name)
def test_the_c_compiles_without_warnings_and_needs_nothing(made_for: model.Arch, compiler: str, tmp_path: Path) -> None:
    for name, text in render.runtime(made_for, tmp_path).items():
        (tmp_path / name).write_text(text)
    bits = f"-m{made_for.bits}"
    tool(compiler, *FLAGS, bits, "-O2", "-fno-pic", "-c", tmp_path / "live.c", "-o", tmp_path / "live.o")
    assert tool("nm", "-u", tmp_path / "live.o") == ""
    assert {line.split()[1] for line in tool("nm", tmp_path / "live.o").splitlines()} <= {"T", "t", "r"}  # no globals
