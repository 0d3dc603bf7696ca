"""Compiles the loops in C while hatchling makes a wheel or installs the sources. Without a compiler, or with
BUILDPLUG_PURE in the environment, the wheel is for every machine, and has none.

hatchling runs this where nothing of buildplug is installed. The C needs no library and no headers but the compiler's.
"""

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path(__file__).with_name("loops.c")
MADE = SOURCE.with_name("libloops.so")
OPTIONS = ("-std=c11", "-O3", "-fPIC", "-shared", "-ffreestanding", "-nostdlib", "-Wl,--build-id=none")


class NativeHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is not in all versions
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if compile_loops(MADE):
            build_data["artifacts"].append(str(MADE.relative_to(self.root)))
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def compile_loops(made: Path) -> bool:
    """Whether the loops could be compiled. What there was is removed if not: it may be of another source."""
    scratch = made.with_name(f"{made.name}.{os.getpid()}")
    command = [*shlex.split(os.environ.get("CC", "cc")), *OPTIONS, SOURCE.name, "-o", str(scratch.absolute())]
    try:
        if os.environ.get("BUILDPLUG_PURE"):
            raise OSError
        subprocess.run(command, cwd=SOURCE.parent, check=True, capture_output=True)
        scratch.replace(made)
    except (OSError, subprocess.CalledProcessError):
        scratch.unlink(missing_ok=True)
        made.unlink(missing_ok=True)
        return False
    return True
