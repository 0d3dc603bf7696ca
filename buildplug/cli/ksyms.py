"""buildplug ksyms"""

import os
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

from buildplug.base.errors import BuildplugError, printable
from buildplug.cli.shared import print_json
from buildplug.config.rule import Rule, adjusted, find
from buildplug.image.demangle import TRIM, demangled
from buildplug.image.elf import Image
from buildplug.runtime import ksyms as runtime_ksyms
from buildplug.tables.kallsyms import FORMS, KallsymsForm, kallsyms_of
from buildplug.tables.kallsyms_assembly import assembly
from buildplug.tables.ksyms import collected
from buildplug.tables.ksyms_format import Ksyms

FORMATS = ("nm", "system-map", "json", *FORMS)


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("image", type=Path)
    parser.add_argument("query", nargs="*", help="an address (0x...) or a name")
    parser.add_argument("--rule", help="which symbols; default: ksyms, or linux-FORMAT for one of kallsyms")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="nm",
        help="of the list without a query; nm: as nm -n; kallsyms: assembly as of Linux 6.1; kallsyms-6-12: of 6.12; "
        "kallsyms-7-3: of 7.3",
    )
    parser.add_argument(
        "--demangle", action="store_true", help="names of C++ and Rust are readable: the list as nm -nC, queries, too"
    )
    parser.add_argument(
        "--trim", choices=tuple(TRIM), help="--demangle, with ... in place of generics' arguments, parameters, or both"
    )
    parser.add_argument("--sizes", action="store_true", help="of format nm: also sizes, as nm -nS")


def run(options: Namespace) -> None:
    image = Image(options.image)
    if options.sizes and (options.format != "nm" or options.query):
        raise BuildplugError("ksyms", "--sizes is for the list in format nm", "leave it out", status=2)
    for option, given in (("--demangle", options.demangle), ("--trim", options.trim)):
        if given and options.format in FORMS:
            raise BuildplugError("ksyms", f"{option} is not for kallsyms", "leave it out", status=2)
    if options.format in FORMS and not options.query:
        _kallsyms(image, find(options.rule or f"linux-{options.format}", Path.cwd()), FORMS[options.format])
        return
    rule = find(options.rule or "ksyms", Path.cwd())
    if options.demangle or options.trim:
        rule = adjusted(
            rule, {"demangle": True, "trim": options.trim or rule.table.trim, "raw": rule.table.by_name}, "--demangle"
        )
    if not options.query:
        _list(image, rule, options.format, sizes=options.sizes)
        return
    table = collected(image, rule, 0)
    for query in options.query:
        if query.startswith("0x"):
            found = [_address_in(table, _address(query))]
        else:
            found = [
                b"%#x %s" % (s.address, s.type.encode()) for s in runtime_ksyms.lookup(table, 0, os.fsencode(query))
            ]
        if not found:
            raise image.bad(f"expected a symbol {query}, found none", "list them without a query")
        for line in found:
            print(printable(line.decode(errors="backslashreplace")))


def _list(image: Image, rule: Rule, form: str, *, sizes: bool) -> None:
    """Prints all symbols, like nm in the order of their names in the image."""
    table = collected(
        image, adjusted(rule, {"demangle": False, "hashes": False, "trim": "", "raw": False}, rule.name), 0
    )
    symbols = [runtime_ksyms.symbol(table, 0, index) for index in range(len(table.rows))]
    symbols.sort(key=lambda symbol: (symbol.address, symbol.name))
    if rule.table.demangle:
        readable = demangled([symbol.name for symbol in symbols], hashes=rule.table.hashes, trim=rule.table.trim)
        symbols = [replace(symbol, name=name) for symbol, name in zip(symbols, readable, strict=True)]
    if form == "json":
        rows = [(s.address, s.size, s.type, s.name.decode(errors="backslashreplace")) for s in symbols]
        print_json([{"address": a, "size": size, "type": kind, "name": name} for a, size, kind, name in rows])
        return
    digits = image.arch.bits // 4
    for symbol in symbols:
        extent = f" {symbol.size:0{digits}x}" if symbol.size and sizes else ""
        line = f"{symbol.address:0{digits}x}{extent} {symbol.type} ".encode()
        sys.stdout.buffer.write(line + _shown(symbol.name) + b"\n")


def _address_in(table: Ksyms, address: int) -> bytes:
    """An address as the kernel prints it. Behind a function it may be the return address of a call at its end."""
    found = runtime_ksyms.format_address(table, 0, address)
    if runtime_ksyms.find(table, 0, address) or not address or not runtime_ksyms.find(table, 0, address - 1):
        return found
    return found + b", or as a return address " + runtime_ksyms.format_return_address(table, 0, address)


def _shown(name: bytes) -> bytes:
    """A name as it is, for a file or a pipe; on a terminal, without what would control it."""
    return printable(name.decode(errors="backslashreplace")).encode() if sys.stdout.isatty() else name


def _kallsyms(image: Image, rule: Rule, form: KallsymsForm) -> None:
    from buildplug.stage.render import render  # imports jinja2, which is slow, and the other formats do without

    text = image.address_of("_text")
    if text is None:
        raise image.bad("expected the symbol _text, found none", "define it where the kernel starts")
    sys.stdout.write(render("kallsyms.S.j2", None, **assembly(kallsyms_of(image, rule), text, form)))


def _address(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        raise BuildplugError("ksyms", f"expected an address, found {text!r}", status=2) from None
