"""Our table of symbols compared with Linux's kallsyms and with plain strings, on the long names of Rust: bytes a symbol
and instructions a lookup, for names that are raw, readable, and readable without the arguments of generics; and the
bytes of the code that looks up. With raw names, symbols of a table of readable ones are looked up by them, too.

`python -m bench.long_names [PROGRAM...]`; by default the toolchain's cargo and librustc_driver. Both sides have the
same symbols: those that kallsyms can hold, with another letter for each space and quote, which it cannot read.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench import ksyms, ksyms_lookups, ksyms_table
from buildplug.base.errors import BuildplugError
from buildplug.base.process import run
from buildplug.config.rule import Rule, adjusted, find
from buildplug.image.elf import Image
from buildplug.runtime import ksyms as runtime_ksyms
from buildplug.tables import ksyms_codec
from buildplug.tables.ksyms import collected
from buildplug.tables.ksyms_format import Ksyms, dtype, layout

SHAPES: dict[str, dict[str, object]] = {
    "raw": {},
    "readable": {"demangle": True},
    "trimmed": {"demangle": True, "trim": "generics"},
}
LONGEST = 510  # of kallsyms, with its type before it
READ = bytes.maketrans(b' "\\', b"`'/")
LEFT_OUT = (b".L", b"$", b"__kcfi_", b"__cfi_")  # by kallsyms, among others that no program for Linux has


def programs() -> list[Path]:
    """Those of the toolchain."""
    root = Path(run(["rustc", "--print", "sysroot"], Path.cwd(), "find the toolchain").output.strip())
    return [root / "bin/cargo", *root.glob("lib/librustc_driver-*.so")]


def table_of(image: Image, rule: Rule) -> Ksyms:
    """A table at address 0 of the symbols of an image that kallsyms can hold, too."""
    full = collected(image, rule, 0)
    kept = [
        at
        for at, name in enumerate(full.names)
        if 0 < len(name) <= LONGEST and b"\n" not in name and not name.startswith(LEFT_OUT)
    ]
    kept = [at for at in kept if chr(full.rows["type"][at]) in "tTdDbBrRwWvV"]
    names = [full.names[at].translate(READ) for at in kept]
    raw = [full.raw[at] for at in kept] if full.raw else []
    return ksyms_table.again(full.sections, full.bases, full.rows[kept], names, raw)


def kallsyms(tree: Path, table: Ksyms, folder: Path) -> dict[str, int]:
    """Makes kallsyms.o of the symbols of a table; returns the bytes of its parts."""
    symbols = [runtime_ksyms.symbol(table, 0, index) for index in range(len(table.names))]
    lines = sorted(b"%016x %s %s\n" % (symbol.address, symbol.type.encode(), symbol.name) for symbol in symbols)
    (folder / "symbols").write_bytes(b"".join(lines))
    made = f"{tree}/scripts/kallsyms {ksyms.OPTIONS} symbols >kallsyms.S; {ksyms.ASSEMBLE.format('kallsyms')}"
    run(["sh", "-ec", made], folder, "make kallsyms")
    return ksyms.kallsyms_parts(folder)


def measure(tree: Path, program: Path, folder: Path) -> None:
    image, rule = Image(program), find("ksyms", Path.cwd())
    for shape, keys in SHAPES.items():
        table = table_of(image, adjusted(rule, keys, "bench"))
        parts, count = kallsyms(tree, table, folder), len(table.names)
        if parts["offsets"] != -(-count // 2) * 8:  # four bytes each, and padding
            raise BuildplugError("bench", f"expected {count} symbols, found {parts['offsets']} bytes of offsets")
        ksyms_table.write(folder, table)
        run(["sh", "-ec", ksyms.ASSEMBLE.format("table")], folder, "assemble our table")
        plain = sum(map(len, table.names)) + count
        data = ksyms_codec.encode(table)
        at = layout(table.arch, np.frombuffer(data, dtype("ksyms", "<"), 1)[0])
        names = at["types"] - at["index"] + at["bases"] - at["names"]  # with what they are decoded by
        print(f"{program.name}, {shape}: {count} symbols, {plain / count:.1f} bytes a name")
        theirs = sum(parts[part] for part in ("names", "markers", "token_table", "token_index"))
        for what, a, b in (("names", theirs, names), ("all", sum(parts.values()), len(data))):
            print(f"bytes a symbol, {what}: kallsyms {a / count:.1f}, ours {b / count:.1f}: {b / a:.2f}", flush=True)
        if "demangle" in keys:
            both = len(ksyms_codec.encode(table_of(image, adjusted(rule, keys | {"raw": True}, "bench"))))
            alone = len(data) / count
            print(
                f"bytes a symbol, all: with raw names {both / count:.1f}, without {alone:.1f}: {both / len(data):.2f}"
            )
        ksyms_lookups.measure(tree, 0, table, folder)


def main(arguments: Sequence[str]) -> None:
    with ksyms.beside_linux(None) as (vmlinux, folder):
        for program in [*map(Path, arguments)] or programs():
            measure(vmlinux.parent, program, folder)
        ksyms_lookups.measure_code(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
