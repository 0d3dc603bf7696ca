"""A header of a table of symbols that changes while a lookup runs does no harm."""

import subprocess
from pathlib import Path

from buildplug.arch.x86 import X86_64
from buildplug.stage import render
from buildplug.tables.ksyms import KsymsFormat
from buildplug.tables.ksyms_codec import encode
from tests.conftest import tool
from tests.ksyms_host import SANITIZERS
from tests.tables.ksyms_tables import a_table

# Another thread writes the header over and over: the right one, and one with any counts. The table has exactly its
# size.
HOST = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "ksyms.h"
static struct bp_ksyms *table, good;
static volatile int done;
static void *change(void *unused)
{
	for (unsigned i = 0; !done; i++) {
		unsigned char *at = (unsigned char *)table;
		size_t from = __builtin_offsetof(struct bp_ksyms, sections);
		memset(at + from, i & 2 ? 0xff : 0x7f, sizeof(good) - from);
		__asm__ volatile("" : : : "memory");
		memcpy(table, &good, sizeof(good));
		for (volatile int wait = 0; wait < 200 + (int)(i % 400); wait++)
			;
	}
	return unused;
}
int main(int count, char **words)
{
	char name[64], found[] = "start";
	struct bp_ksym symbol;
	unsigned long good_answers = 0;
	size_t size = strtoul(words[1], 0, 0);
	time_t end = time(0) + 5;
	pthread_t other;
	table = malloc(size);
	if (count != 2 || fread(table, 1, size, stdin) != size || bp_ksyms_check(table, size)) return 2;
	memcpy(&good, table, sizeof(good));
	pthread_create(&other, 0, change, 0);
	for (unsigned i = 0; time(0) < end; i++) {
		good_answers += bp_ksyms_get(table, i % (good.symbols + 1), &symbol, name, sizeof(name));
		bp_ksyms_get(table, i * 2654435761u, &symbol, name, sizeof(name));
		bp_ksyms_find(table, (uintptr_t)table + i * 64, &symbol, name, sizeof(name));
		if (bp_ksyms_lookup(table, found, &symbol)) bp_ksyms_next(table, found, &symbol);
	}
	done = 1;
	pthread_join(other, 0);
	printf("%lu\n", good_answers);
	return 0;
}
"""


def test_lookups_believe_only_what_they_have_checked(tmp_path: Path) -> None:
    for name, text in render.runtime(X86_64, tmp_path, [KsymsFormat()]).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "host.c").write_text(HOST)
    tool("gcc", *SANITIZERS, "-pthread", "-include", "stdint.h", "host.c", "ksyms.c", "-o", "host", cwd=tmp_path)
    table = next(table for table in map(a_table, range(100)) if len(table.rows) >= 40)
    data = encode(table)
    done = subprocess.run([tmp_path / "host", str(len(data))], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) > 100
