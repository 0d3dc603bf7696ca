"""How the tests compile the modules in Rust: strictly, with checks, and as a part of a library for kernels."""

from collections.abc import Iterable
from pathlib import Path

from tests.conftest import tool

STRICT = ("--edition", "2021", "-D", "warnings")
CHECKED = (*STRICT, "-C", "debug-assertions", "-C", "overflow-checks", "-C", "panic=abort")


def missing(folder: Path, modules: Iterable[str], use: str = "") -> list[str]:
    """The symbols that the modules of a folder, and code that uses them, need from elsewhere when they are optimized,
    after clippy had nothing to say, of modules that are a kernel's own either: it says less of what others may use."""
    words = (*STRICT, "--crate-type", "lib", "bare.rs")
    for public in "", "pub ":
        uses = "".join(f"{public}mod {module};\n" for module in modules)
        (folder / "bare.rs").write_text(f"#![no_std]\n{uses}{use}")
        tool("clippy-driver", *words, "--emit", "metadata", cwd=folder)
    tool("rustc", *words, "-O", "--emit", "obj", cwd=folder)
    return [line.split()[-1] for line in tool("nm", "-u", folder / "bare.o").splitlines()]
