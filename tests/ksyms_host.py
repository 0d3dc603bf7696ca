"""The lookups of ksyms.c asked through pipes: on the host, under sanitizers, or elsewhere, under QEMU."""

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

from buildplug.arch.model import Arch
from buildplug.arch.x86 import X86_64
from buildplug.runtime import ksyms as runtime_ksyms
from buildplug.stage import render
from buildplug.tables.ksyms import KsymsFormat
from buildplug.tables.ksyms_format import ERRORS, Ksyms
from tests.conftest import tool

SANITIZERS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

# Reads tables and questions, prints answers. A table of no size is the one that is linked in. Others, and every buffer,
# have exactly their size, so that the sanitizer sees each byte too far.
HOST = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ksyms.h"
extern const struct bp_ksyms bp_ksyms __attribute__((weak));
static void take(void *to, size_t size) { if (size && fread(to, 1, size, stdin) != size) exit(0); }
static uint64_t word(void) { uint64_t value; take(&value, 8); return value; }
static void say(const struct bp_ksym *s)
{
	printf("%x %lx %x %02x %x ", s->index, (unsigned long)s->address, s->size, (unsigned char)s->type, s->length);
}
static void hex(const char *text, size_t room)
{
	if (room && !memchr(text, 0, room)) abort();
	for (; room && *text; text++) printf("%02x", (unsigned char)*text);
}
#ifdef BP_KSYMS_FRAMES
static void print(const char *line) { hex(line, BP_KSYMS_LINE); printf(" "); }
#endif
int main(void)
{
	for (;;) {
		uint64_t room = word(), questions;
		void *own = malloc(room);
		const struct bp_ksyms *table = room ? own : &bp_ksyms;
		take(own, room);
		room = room ? room : table->size;
		printf("%lx %u\n", (unsigned long)table, bp_ksyms_check(table, room));
		fflush(stdout);
		for (questions = word(); questions--;) {
			uint64_t kind = word(), value = word(), size = word();
			char *buffer = malloc(size);
			struct bp_ksym s;
			if (kind == 'l') take(buffer, size);
			if (kind == 'f' && bp_ksyms_find(table, value, &s, buffer, size)) say(&s), hex(buffer, size);
			if (kind == 'g' && bp_ksyms_get(table, value, &s, buffer, size)) say(&s), hex(buffer, size);
			if (kind == 'p') printf("%zx ", bp_ksyms_print(table, value, buffer, size)), hex(buffer, size);
			if (kind == 'r') printf("%zx ", bp_ksyms_print_return(table, value, buffer, size)), hex(buffer, size);
#ifdef BP_KSYMS_FRAMES
			if (kind == 'b') bp_ksyms_backtrace(table, 0, 0, (void *)(uintptr_t)-1, print);
#endif
			if (kind == 'l' && bp_ksyms_lookup(table, buffer, &s))
				do say(&s); while (bp_ksyms_next(table, buffer, &s));
			puts("");
			free(buffer);
		}
		fflush(stdout);
		free(own);
	}
}
"""

Question = tuple[str, int | bytes, int]  # find, get, print, return: a number and the room of the buffer; lookup: a name


PRINTS = {"p": runtime_ksyms.format_address, "r": runtime_ksyms.format_return_address}


def write(folder: Path, arch: Arch = X86_64) -> Path:
    """The generated C, in a folder; the folder."""
    for name, text in render.runtime(arch, folder, [KsymsFormat()]).items():
        (folder / name).write_text(text)
    return folder


def compiled(folder: Path) -> Path:
    """The generated C of a folder, compiled with sanitizers for this machine."""
    (folder / "host.c").write_text(HOST)
    tool("gcc", *SANITIZERS, "host.c", "ksyms.c", "-o", "host", cwd=folder)
    return folder / "host"


class Host:
    """The generated C of a folder, in a process of its own: compiled with sanitizers, or as `command` runs it, in that
    byte order."""

    def __init__(self, folder: Path, command: Sequence[str | Path] = (), order: str = "<"):
        pipe, self.order = subprocess.PIPE, order
        self.process = subprocess.Popen(command or [compiled(folder)], stdin=pipe, stdout=pipe, stderr=pipe)

    def __enter__(self) -> "Host":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def _send(self, data: bytes) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except BrokenPipeError:
            self._line()

    def _line(self) -> str:
        assert self.process.stdout and self.process.stderr
        line = self.process.stdout.readline()
        assert line.endswith(b"\n"), self.process.stderr.read().decode()
        return line.decode()[:-1]

    def check(self, data: bytes) -> tuple[int, str]:
        """Gives it a table (b"": the one that is linked in): where it stands, and what the check says. Then it waits
        for questions."""
        self._send(struct.pack(f"{self.order}Q", len(data)) + data)
        at, error = self._line().split()
        return int(at, 16), list(ERRORS)[int(error)]

    def ask(self, questions: list[Question]) -> list[str]:
        """What it answers about the last table."""
        parts, three = [struct.pack(f"{self.order}Q", len(questions))], f"{self.order}QQQ"
        for kind, value, room in questions:
            if isinstance(value, bytes):
                parts.append(struct.pack(three, ord(kind), 0, len(value) + 1) + value + b"\0")
            else:
                parts.append(struct.pack(three, ord(kind), value % 2**64, room))
        sender = Thread(target=self._send, args=(b"".join(parts),))  # neither waits for the other's pipe to empty
        sender.start()
        answers = [self._line() for _ in questions]
        sender.join()
        return answers


def answer(table: Ksyms, at: int, question: Question) -> str:
    """What Python says."""
    kind, value, room = question

    def cut(text: bytes) -> str:
        return text[: max(room - 1, 0)].hex()

    def shown(symbol: runtime_ksyms.Symbol) -> str:
        return f"{symbol.index:x} {symbol.address:x} {symbol.size:x} {ord(symbol.type):02x} {len(symbol.name):x} "

    if isinstance(value, bytes):
        return "".join(map(shown, runtime_ksyms.lookup(table, at, value)))
    if kind in PRINTS:
        text = PRINTS[kind](table, at, value)
        return f"{len(text):x} {cut(text)}"
    if kind == "f":
        found = runtime_ksyms.find(table, at, value)
    else:
        found = runtime_ksyms.symbol(table, at, value) if value < len(table.rows) else None
    return shown(found) + cut(found.name) if found else ""
