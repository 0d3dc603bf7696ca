"""No number in a file decides how much memory or time it takes to read it."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from buildplug.arch.x86 import X86_64
from buildplug.base.errors import BuildplugError
from buildplug.image.elf import Image
from buildplug.image.headers import SECTION, SYMBOL, record
from tests.conftest import Written
from tests.elfwriter import ALLOC, EXEC, FUNC, NOBITS, WRITE, File, Section, Symbol
from tests.samples import one_line

MIB = 1 << 20
MANY = 200_000
TEXT = Section(".text", bytes(64), 0x1000, ALLOC | EXEC)
START = Symbol("start", 0x1000, 8, FUNC)
# Runs the command, then says how many calls it made, and its peak in bytes; ru_maxrss would have that of the process
# that started it, too.
MEASURED = """
import sys
from pathlib import Path
from buildplug.cli.main import main
calls = 0
def count(*_):
    global calls
    calls += 1
sys.setprofile(count)
try:
    main()
finally:
    sys.setprofile(None)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(calls, int(peak.split()[1]) * 1024, file=sys.stderr)
"""


def measured(*words: str | Path) -> tuple[int, int, str]:
    """The calls and the bytes of memory that a command takes, and what it says."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, words)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)),
    )  # fmt: skip
    *said, last = done.stderr.splitlines()
    assert "Traceback" not in done.stderr, done.stderr
    calls, peak = map(int, last.split())
    return calls, peak, "\n".join(said)


@pytest.mark.parametrize("size", [3 << 30, 1 << 40, 0xFFFFFFFFFFFF7400, 2**64 - 1])
def test_sections_without_content_take_no_memory(written: Written, size: int) -> None:
    path = written(File([TEXT, Section(".bss", size, 0x2000, ALLOC | WRITE, NOBITS)], [START]))
    _, peak, said = measured("ksyms", path)
    assert peak < 3 * path.stat().st_size + 100 * MIB
    assert not said or one_line(said)


def many(written: Written, names: int = 1) -> Path:
    """An image with very many sections, with so many different names."""
    plain = File([TEXT, *(Section(f".text.{n}", address=0x2000, flags=ALLOC | EXEC) for n in range(names))], [START])
    data = bytearray(plain.write())
    kind = record(SECTION, Image.of(Path("plain"), bytes(data)).arch)
    image = Image.of(Path("plain"), bytes(data))
    rows = image.headers.copy()
    own = rows[2 : 2 + names]
    more = own[[n % names for n in range(MANY - len(rows))]]
    all_rows = b"".join(part.tobytes() for part in (rows[:1], rows[1:], more))
    assert kind.itemsize * MANY == len(all_rows)
    at = len(data)
    data += all_rows
    data[40:48] = at.to_bytes(8, "little")
    data[60:62] = bytes(2)  # e_shnum: section 0 has the number
    data[at + 32 : at + 40] = MANY.to_bytes(8, "little")
    return written(bytes(data))


@pytest.mark.parametrize("names", [1, 50_000])
def test_very_many_sections_are_read_without_a_call_for_each(written: Written, names: int) -> None:
    few, _, _ = measured("ksyms", written(File([TEXT], [START])))
    calls, peak, said = measured("ksyms", many(written, names))
    assert said == ""
    assert calls - few < MANY / 2  # each counts twice; some are of imports
    assert peak < 3 * MANY * record(SECTION, X86_64).itemsize + 100 * MIB


def long_names(count: int, size: int) -> bytes:
    """Symbols with names that all end where the string table does, so that together they are much longer than it."""
    symbols = [START, *(Symbol("", 0x1000 + n, 1, FUNC) for n in range(count))]
    data = bytearray(File([TEXT, Section(".long", b"a" * size + b"\0", type=3)], symbols).write())
    image = Image.of(Path("long"), bytes(data))
    kind = record(SYMBOL[64], image.arch)
    table, strings = image.section(".symtab"), image.section(".long")
    link = next(at for at, section in enumerate(image.sections) if section.name == ".symtab")
    headers_at, width = int(image.header["shoff"]), image.headers.dtype.itemsize
    data[headers_at + link * width + 40 : headers_at + link * width + 44] = strings.index.to_bytes(4, "little")
    for number in range(1, len(symbols) + 1):
        at = table.offset + kind.itemsize * number
        data[at : at + 4] = (number % size).to_bytes(4, "little")
    return bytes(data)


def test_names_that_overlap_take_no_memory(written: Written) -> None:
    path = written(long_names(2000, MIB))
    _, peak, said = measured("ksyms", path)
    assert "names" in one_line(said)
    assert peak < 3 * path.stat().st_size + 100 * MIB


def test_many_program_headers_are_refused(written: Written) -> None:
    path = written(File([TEXT], [START], header={"phoff": 64, "phnum": 0xFFFE}))
    with pytest.raises(BuildplugError, match="expected at most 256 program headers"):
        _ = Image(path).segments


def test_a_string_table_index_is_not_believed(written: Written) -> None:
    with pytest.raises(BuildplugError, match="headers that do not parse"):
        Image(written(File([TEXT], [START], header={"shstrndx": 77})))
