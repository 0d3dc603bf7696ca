"""How and where a build of `buildplug repro` runs; with the compilers behind a cache, or on a server."""

import os
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

COMPILERS = re.compile(r"(.+-)?(cc|gcc|clang|c\+\+|g\+\+|clang\+\+)(-[0-9.]+)?")
# distccd refuses to be root: it runs as somebody else, who may do what we may.
ANYBODY = ("unshare", "--user", "--map-user=65534", "--map-group=65534")


@dataclass(frozen=True)
class Bench:
    """Where the builds run. `work` is a folder of ours; `now` in seconds since 1970; `port` is free on loopback; `env`
    is what variations start from."""

    work: Path
    now: int
    port: int
    ours: bool  # whether it is a configuration of buildplug's that is built, and no other command
    env: Mapping[str, str]


@dataclass(frozen=True)
class Setting:
    """How a build runs."""

    tree: Path  # the project's copy
    env: Mapping[str, str]
    prefix: tuple[str, ...] = ()  # programs that start the command
    umask: int = -1  # -1: the user's
    listing: tuple[str, ...] = ()  # options of disorderfs: how folders list their files; none: as they do
    distcc: Path | None = None  # the log of a server that compiles meanwhile
    ccache: Path | None = None  # a cache that a first build fills, and a second uses

    def with_env(self, variables: Mapping[str, str]) -> "Setting":
        return replace(self, env={**self.env, **variables})

    def with_path(self, first: Path) -> "Setting":
        return self.with_env({"PATH": f"{first}:{self.env.get('PATH', os.defpath)}"})


def _compilers(found: Setting) -> dict[str, str]:
    """The compilers in PATH: name -> program."""
    path = found.env.get("PATH", os.defpath)
    folders = [
        folder for folder in map(Path, path.split(":")) if os.access(folder, os.R_OK | os.X_OK) and folder.is_dir()
    ]
    names = {file.name for folder in folders for file in folder.iterdir() if COMPILERS.fullmatch(file.name)}
    programs = {name: shutil.which(name, path=path) for name in sorted(names)}
    return {name: program for name, program in programs.items() if program}


def _script(path: Path, text: str) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def cached(found: Setting, bench: Bench, vary: bool) -> Setting:
    """A setting without a compiler cache, or with one."""
    if not vary:
        return found.with_env({"CCACHE_DISABLE": "1"})
    # ccache makes names out of the time: it has to have the true one, and the compiler that of the build.
    names = bench.work / "ccache-names"
    for name, program in _compilers(found).items():
        become = shlex.join([shutil.which("ccache") or "ccache", program])
        _script(
            names / name, f'BUILD_PRELOAD="$LD_PRELOAD"; export BUILD_PRELOAD; unset LD_PRELOAD; exec {become} "$@"'
        )
    again = _script(bench.work / "compiler", 'LD_PRELOAD="$BUILD_PRELOAD" exec "$@"')
    folder = bench.work / "ccache"
    sloppy = "include_file_mtime,include_file_ctime"  # a generated header is younger than ccache likes
    variables = {"CCACHE_DIR": str(folder), "CCACHE_SLOPPINESS": sloppy}
    variables |= {"CCACHE_PREFIX": again, "CCACHE_PREFIX_CPP": again}
    return replace(found, ccache=folder).with_env(variables).with_path(names)


def distributed(found: Setting, bench: Bench, vary: bool) -> Setting:
    """A setting with compilers that run here, or on the server that listens at the bench's port."""
    if not vary:
        return found
    state = bench.work / "distcc"
    state.mkdir(exist_ok=True)
    # No fallback: what is not compiled by the server is an error.
    hosts = {"DISTCC_HOSTS": f"127.0.0.1:{bench.port}", "DISTCC_DIR": str(state), "DISTCC_FALLBACK": "0"}
    names = bench.work / "distcc-names"
    names.mkdir(exist_ok=True)
    for name in _compilers(found):
        if not (names / name).is_symlink():
            (names / name).symlink_to(shutil.which("distcc") or "distcc")
    return replace(found, distcc=bench.work / "distccd.log").with_env(hosts).with_path(names)
