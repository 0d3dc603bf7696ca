"""Compiles the loops in C while hatchling makes a wheel or installs the sources. Without a compiler for this machine,
or with BUILDPLUG_PURE in the environment, the wheel is for every machine, and has none.

hatchling runs this where nothing of buildplug is installed. The C needs no library and no headers but the compiler's.
"""

import ctypes
import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path(__file__).parent
NAME = "libloops.so"
OPTIONS = ("-std=c11", "-O3", "-fPIC", "-shared", "-ffreestanding", "-nostdlib", "-Wl,--build-id=none")


class NativeHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        self.folder = tempfile.mkdtemp(prefix="buildplug.")
        made, own = Path(self.folder, NAME), FOLDER / NAME
        compiled = compile_loops(made)
        if version == "editable":  # the package is the sources
            with suppress(OSError):  # they may be read-only
                own.unlink(missing_ok=True)
                if compiled:
                    shutil.copy(made, own)
        elif compiled:
            build_data["force_include"][str(made)] = f"buildplug/native/{NAME}"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def compile_loops(made: Path) -> bool:
    """Whether the loops could be compiled to a library that this machine can load."""
    try:
        if os.environ.get("BUILDPLUG_PURE"):
            return False
        sources = sorted(path.name for path in FOLDER.glob("*.c"))
        command = [*shlex.split(os.environ.get("CC") or "cc"), *OPTIONS, *sources, "-o", str(made.absolute())]
        subprocess.run(command, cwd=FOLDER, check=True, capture_output=True)
        return bool(ctypes.CDLL(str(made.absolute())).loops_version())
    except (OSError, ValueError, AttributeError, subprocess.CalledProcessError):  # none, or one for another machine
        return False
