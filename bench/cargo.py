"""What the programs of the host cost that Cargo links on its way to a kernel: `python -m bench.cargo`.

A package needs build scripts and procedural macros, which are linked to run in the build. Cargo builds it with ours in
place of the linker: by one list of flags for all, where a program of `buildplug ld --into` passes them on, and as
`buildplug path cargo` says, where Cargo does not give our linker to them. The peer is the same build by the linker
alone. Nothing else is built but libraries, as what the kernel costs is elsewhere (bench/small.py).

Builds differ by more from run to run than by what passing on costs, so each link is also repeated by itself.
"""

import shutil
import tempfile
from functools import partial
from pathlib import Path

from bench.costs import BUILDPLUG, Cost, best, row, run
from buildplug.base.data import build_system
from buildplug.cli.path import SYSTEMS

SCRIPTS = MACROS = 8
ROUNDS = 5
PACKAGE = '[package]\nname = "{}"\nversion = "0.1.0"\nedition = "2021"\n'
MACRO = (
    "extern crate proc_macro;\n#[proc_macro]\n"
    "pub fn nothing(_: proc_macro::TokenStream) -> proc_macro::TokenStream { proc_macro::TokenStream::new() }\n"
)
TARGET = "x86_64-unknown-linux-gnu"
NOTING = '#!/bin/sh\nprintf \'%s\\0\' "$PWD" "$@" >{}/$$\nexec ld.bfd "$@"\n'
HOST = f'[target.{TARGET}]\nrustflags = ["-Clink-arg=-fuse-ld=bfd"{{}}]\n'
CONFIG = '[kernel]\nname = "kernel"\n[[table]]\nrule = "ksyms"\n'


def write(folder: Path) -> None:
    """The package, whose library needs others, with build scripts and procedural macros."""
    needed = [f"script{i}" for i in range(SCRIPTS)] + [f"macro{i}" for i in range(MACROS)]
    listed = "".join(f'{name} = {{ path = "{name}" }}\n' for name in needed)
    texts = {"Cargo.toml": f"{PACKAGE.format('needs')}[dependencies]\n{listed}", "src/lib.rs": "#![no_std]\n"}
    for name in needed:
        macro = name.startswith("macro")
        texts[f"{name}/Cargo.toml"] = PACKAGE.format(name) + "[lib]\nproc-macro = true\n" * macro
        texts[f"{name}/src/lib.rs"] = MACRO if macro else "#![no_std]\n"
        if not macro:
            texts[f"{name}/build.rs"] = "fn main() {}\n"
    texts["buildplug.toml"] = CONFIG
    for file, text in texts.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)


def built(folder: Path, configuration: str) -> Cost:
    """A build from nothing, with that as Cargo's configuration."""
    shutil.rmtree(folder / "target", ignore_errors=True)
    (folder / "config.toml").write_text(configuration)
    return run(["cargo", "build", "--offline", "--quiet", "--config", "config.toml"], folder)


def linked(ld: str | Path, words: list[str], cwd: Path, _: int) -> Cost:
    return run([ld, *words], cwd)


def links(folder: Path) -> list[list[str]]:
    """The links of a build, whose inputs are kept: where each ran, then its words."""
    noted, program = folder / "noted", folder / "noting" / "ld.bfd"
    noted.mkdir()
    program.parent.mkdir()
    program.write_text(NOTING.format(noted))
    program.chmod(0o755)
    built(folder, HOST.format(f', "-Clink-arg=-B{program.parent}", "-Csave-temps"'))
    return [path.read_text().split("\0")[:-1] for path in sorted(noted.iterdir())]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        folder = Path(name)
        write(folder)
        run([*BUILDPLUG, "ld", "--into", "bin"], folder)
        milliseconds = [0.0, 0.0]
        found = links(folder)
        for cwd, *words in found:
            sides = best(
                ROUNDS, *(partial(linked, ld, words, Path(cwd)) for ld in (folder / "bin" / "ld.bfd", "ld.bfd"))
            )
            for side, cost in enumerate(sides):
                milliseconds[side] += cost.processor * 1000 / len(found)
        shipped = build_system(SYSTEMS["cargo"]).read_text()
        costs = best(
            ROUNDS,
            lambda _: built(folder, HOST.format(f', "-Clink-arg=-B{folder}/bin"')),
            lambda _: built(folder, HOST.format("")),
            lambda _: built(folder, shipped),
            lambda _: built(folder, f'[build]\ntarget = "{TARGET}"\n'),
        )
    passed, alone, kernel, target = (cost.processor for cost in costs)
    how = f"of processors, {len(found)} programs of the host, over ld alone"
    row("cargo build, one list", passed, alone, "s", how)
    row("cargo build, a target", kernel, target, "s", how)
    row("... link of one program", milliseconds[0], milliseconds[1], "ms", "that is passed on; aim: 10 more")


if __name__ == "__main__":
    main()
