"""How and where a build of `buildplug repro` runs, and the wrappers that put a cache or a server before compilers."""

import os
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from buildplug.base.records import frozen

COMPILERS = re.compile(r"(.+-)?(cc|gcc|clang|c\+\+|g\+\+|clang\+\+)(-[0-9.]+)?")
# distccd refuses to run as root, so it runs as nobody in a user namespace, with our permissions.
AS_NOBODY = ("unshare", "--user", "--map-user=65534", "--map-group=65534")


@frozen
class Workspace:
    """Where the builds run. `work`: a temporary folder; `now`: in seconds since 1970; `env`: the environment that
    variations change."""

    work: Path
    now: int
    is_buildplug: bool  # whether buildplug builds a configuration; else a command runs
    env: Mapping[str, str]


@frozen
class Settings:
    """How a build runs."""

    tree: Path  # the project's copy
    env: Mapping[str, str]
    prefix: tuple[str, ...] = ()  # wrapper programs before the command
    umask: int = -1  # -1: the user's
    listing: tuple[str, ...] = ()  # options of disorderfs for the order of folder listings; none: not mounted
    distcc: Path | None = None  # the log of compile servers, if there are any
    ccache: Path | None = None  # a cache that a first build fills and a second uses

    def with_env(self, variables: Mapping[str, str]) -> "Settings":
        return replace(self, env={**self.env, **variables})

    def with_path(self, first: Path) -> "Settings":
        return self.with_env({"PATH": f"{first}:{self.env.get('PATH', os.defpath)}"})


def _compilers(found: Settings) -> dict[str, str]:
    """The compilers in PATH: name -> path."""
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


def cached(found: Settings, workspace: Workspace, vary: bool) -> Settings:
    """Settings with a compiler cache if `vary`, else with caching disabled."""
    if not vary:
        return found.with_env({"CCACHE_DISABLE": "1"})
    # ccache makes file names from the time: it needs the real time, but the compiler needs the build's.
    names = workspace.work / "ccache-names"
    for name, program in _compilers(found).items():
        command = shlex.join([shutil.which("ccache") or "ccache", program])
        _script(
            names / name, f'BUILD_PRELOAD="$LD_PRELOAD"; export BUILD_PRELOAD; unset LD_PRELOAD; exec {command} "$@"'
        )
    preload = _script(workspace.work / "compiler", 'LD_PRELOAD="$BUILD_PRELOAD" exec "$@"')
    folder = workspace.work / "ccache"
    sloppy = "include_file_mtime,include_file_ctime"  # ccache rejects headers as new as generated ones
    variables = {"CCACHE_DIR": str(folder), "CCACHE_SLOPPINESS": sloppy}
    variables |= {"CCACHE_PREFIX": preload, "CCACHE_PREFIX_CPP": preload}
    return replace(found, ccache=folder).with_env(variables).with_path(names)


def distributed(found: Settings, workspace: Workspace, vary: bool) -> Settings:
    """Settings with compilers that run on a server if `vary`, else locally. distcc starts a server for each, as by
    ssh, and talks to it through a socket pair: a port would be open to every user of this machine."""
    if not vary:
        return found
    state = workspace.work / "distcc"
    state.mkdir(exist_ok=True)
    log = workspace.work / "distccd.log"
    own = ["env", "-i", f"PATH={os.environ.get('PATH', os.defpath)}", f"TMPDIR={workspace.work}"]  # not the build's
    server = [*own, *AS_NOBODY, "distccd", "--inetd", "--log-file", str(log), "--log-level", "info"]
    start = _script(workspace.work / "server", f"exec {shlex.join(server)}")
    # No fallback: a compilation that the server does not do is an error.
    hosts = {"DISTCC_HOSTS": "@server", "DISTCC_SSH": start, "DISTCC_DIR": str(state), "DISTCC_FALLBACK": "0"}
    names = workspace.work / "distcc-names"
    names.mkdir(exist_ok=True)
    for name in _compilers(found):
        if not (names / name).is_symlink():
            (names / name).symlink_to(shutil.which("distcc") or "distcc")
    return replace(found, distcc=log).with_env(hosts).with_path(names)
