"""A project with a fault of reproducibility in each of its outputs."""

from pathlib import Path
from typing import NamedTuple


class Fault(NamedTuple):
    """An output, how make makes its source, and what is to be said of it."""

    output: str
    recipe: str
    blamed: frozenset[str]  # variations; none: from build to build
    place: str  # part and symbol of its first place
    cause: str


def _generated(name: str, expression: str) -> str:
    """A C file whose one constant is the text of a Python expression."""
    program = f'import os, socket, tempfile, time; print("const char {name}[] = \\"%s\\";" % ({expression}))'
    return f"{name}.c: ; python3 -c '{program}' >$@"


def _c(name: str, value: str) -> str:
    return f"{name}.c: ; echo 'const char {name}[] = {value};' >$@"


PADDING = r"""
#include <stdint.h>
#include <stdio.h>
static void scribble(void)
{
	volatile uintptr_t words[64];
	for (int i = 0; i < 64; i++) { words[i] = (uintptr_t)&scribble; }
}
static void emit(void)
{
	struct { char tag; long value; } entries[4];
	for (int i = 0; i < 4; i++) { entries[i].tag = 'x'; entries[i].value = i; }
	fwrite(entries, sizeof entries, 1, stdout);
}
int main(void) { scribble(); emit(); return 0; }
"""

FAULTS = (
    # A race that the first always loses, if make has both run at once.
    Fault("race.elf", "race.c: race1 race2 ; echo \"const char race[] = \\\"`cat race.order`\\\";\" | "
          "tr -d '\\n' >$@\n"
          'race1: ; case "$$MAKEFLAGS" in *jobserver*) until [ -s race.order ]; do sleep 0.1; done;; esac; '
          "echo 1 >>race.order\n"
          "race2: ; echo 2 >>race.order",
          frozenset({"num_cpus"}), ".rodata race", "parallelism"),
    Fault("date.elf", _c("date", "__DATE__"), frozenset({"time", "timezone"}), ".rodata date", "timestamp"),
    Fault("file.elf", _c("file", "__FILE__"), frozenset({"build_path"}), ".rodata file", "build path"),
    Fault("glob.elf", _generated("glob", '" ".join(os.listdir("parts"))'), frozenset({"fileordering"}),
          ".rodata glob", "file order"),
    Fault("user.elf", _generated("user", 'os.environ.get("USER")'), frozenset({"user_group"}),
          ".rodata user", "user or host name"),
    Fault("id.elf", _c("id", '"none"'), frozenset(), ".note.gnu.build-id", "build-id"),
    Fault("hash.elf", _generated("hash", '" ".join({"one", "two", "three", "four", "five", "six"})'),
          frozenset({"hash_seed"}), ".rodata hash", "hash order"),
    Fault("locale.elf", "locale.c: ; ls parts | sort | tr '\\n' ' ' | sed 's/.*/const char locale[] = \"&\";/' >$@",
          frozenset({"locales"}), ".rodata locale", "locale"),
    Fault("mode.tar", "mode.tar: ; mkdir -p made; echo >made/member; tar --mtime=@0 --owner=0 --group=0 "
          "--numeric-owner --sort=name -cf $@ made/member", frozenset({"umask"}), "made/member: mode", "file mode"),
    Fault("zone.elf", _generated("zone", 'time.strftime("%H %Z", time.localtime(0))'), frozenset({"timezone"}),
          ".rodata zone", "timestamp"),
    Fault("host.elf", _generated("host", "socket.gethostname()"), frozenset({"domain_host"}),
          ".rodata host", "user or host name"),
    Fault("padding.elf", "padding.c: ; gcc -O0 -fpie -pie padding/tool.c -o padding.tool; ./padding.tool >padding.bin; "
          "echo 'asm(\".section .rodata,\\\"a\\\"; .globl padding; padding: .incbin \\\"padding.bin\\\"\");' >$@",
          frozenset({"aslr"}), ".rodata padding", "memory layout (addresses, or bytes never set)"),
    Fault("scratch.elf", _generated("scratch", "tempfile.mktemp()"), frozenset(), ".rodata scratch", "temporary path"),
)  # fmt: skip

MAKEFILE = """
SHELL = /bin/sh
all: {outputs}
%.elf: %.c
	gcc -O1 -ffreestanding -fno-pic -fno-asynchronous-unwind-tables -c $(CURDIR)/$< -o $*.o
	ld -e 0 --build-id=$(if $(filter id,$*),uuid,none) $*.o -o $@
	rm $*.o
{recipes}
.PHONY: all
"""


def write(folder: Path) -> Path:
    """The project, in a folder that is made."""
    for name in ("parts/A", "parts/a", "parts/B", "parts/b", "parts/t", "parts/z"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "padding").mkdir()
    (folder / "padding" / "tool.c").write_text(PADDING)
    recipes = "\n".join(fault.recipe for fault in FAULTS)
    (folder / "Makefile").write_text(
        MAKEFILE.format(outputs=" ".join(fault.output for fault in FAULTS), recipes=recipes)
    )
    return folder
