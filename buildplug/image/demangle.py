"""Readable names of C++ and Rust, as nm -C prints them. Knows no images: names in, names out.

By c++filt of binutils, which is there wherever GNU ld is, has the demangler of nm, and knows all three manglings:
Itanium's of C++, and both of Rust. It runs once for all names. It would read them from lines, too, but that takes three
times as long, and there it ends a name at whatever is not a letter, such as a byte of UTF-8.
"""

import re
from collections.abc import Sequence

from buildplug.base.errors import BuildplugError

PROGRAM = "c++filt"
REMEDY = "leave demangle out"
TRIM = {"generics": b"<", "parameters": b"(", "all": b"<("}  # what is trimmed -> the brackets around it

# As nm: dots and dollars before a name, and @plt or a version after it, are not part of what is mangled.
MANGLED = rb"(?s)([.$]*)((?:_|_{3,4})Z[^@\n]*|_(?:R|GLOBAL_)[^@\n]*)(@.*)?"
SPECIAL = rb"([\s'\"\\])"  # in a file of arguments


def demangled(names: Sequence[bytes], *, hashes: bool = False, trim: str = "") -> list[bytes]:
    """The names, those that are mangled in their readable form. `hashes`: with all that c++filt knows of them, such as
    the hash of a function in Rust. `trim`: a key of TRIM, for what is left out of names that are mangled.

    Raises BuildplugError if c++filt is missing or fails, as it does if a name would become endless.
    """
    import shutil  # lazy: who reads a configuration needs only the program's name

    from buildplug.base.process import filtered

    mangled = re.compile(MANGLED)
    parts = {name: match.groups(b"") for name in names if (match := mangled.fullmatch(name))}
    if not parts:
        return list(names)
    if not shutil.which(PROGRAM):
        raise BuildplugError(PROGRAM, "expected a program, found none", f"install binutils, or {REMEDY}")
    words = b"\n".join(re.sub(SPECIAL, rb"\\\1", core) for _, core, _ in parts.values())
    command = [PROGRAM, *([] if hashes else ["--no-verbose"]), "@/dev/stdin"]
    lines = filtered(command, words, "demangle names", REMEDY).split(b"\n")[:-1]
    if len(lines) != len(parts):
        found = f"expected {len(parts)} names, found {len(lines)}"
        raise BuildplugError(PROGRAM, found, REMEDY)
    if trim:
        from buildplug.image.trim import trimmed  # lazy, as its pattern takes long to compile

        lines = trimmed(lines, TRIM[trim])
    readable = dict(zip(parts, lines, strict=True))
    known = {name: b"".join((before, readable[name], after)) for name, (before, _, after) in parts.items()}
    return [known.get(name, name) for name in names]
