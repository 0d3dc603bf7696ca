"""Kills builds, links, rebuilds and kbuild at random moments: `python -m tests.fuzz.kills NUMBER`,
`NUMBER=1000 make kills`.

A fault is what a kill may not leave: an output that is neither the old nor the new one, a process, a mount, a temporary
file, a patched tree, or a state from which the next run does not make the right output. The folders of faults are kept
in kills.found.
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from buildplug.linux.versions import SCRIPT, STAGES
from tests.linux.test_kbuild import written
from tests.samples import edit

MARK = "BUILDPLUG_KILLS"
PATIENCE = 20.0  # seconds until what was killed must have ended, on a machine that does other things, too
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
VICTIMS = ("process", "group", "worker")
FLAGS = ("-O1", "-ffreestanding", "-fno-pic", "-fno-asynchronous-unwind-tables")
PROJECT = {
    "k.lds": "ENTRY(_start) SECTIONS { . = 0x100000; .text : { *(.text*) } .rodata : { *(.rodata*) } }\n",
    "more.c": "int more(int n) { return n * 3; }\n",
    "buildplug.toml": (
        '[kernel]\nname = "k"\n[compile]\nsources = ["*.c"]\n'
        f'cflags = [{", ".join(f"{flag!r}" for flag in FLAGS)}]\n[link]\nscript = "k.lds"\n[[table]]\nrule = "ksyms"\n'
    ),
}


@dataclass
class Scene:
    """What is killed. `change` makes one of two variants of the inputs; `outputs` are digests by variant."""

    name: str
    folder: Path
    command: tuple[str, ...]
    output: str
    change: Callable[[int], None]
    outputs: dict[int, str] = field(default_factory=dict)
    seconds: float = 0

    @property
    def temporary(self) -> Path:
        return self.folder.parent / "tmp"

    def start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["env", "--default-signal", sys.executable, "-m", "buildplug", *self.command], cwd=self.folder,
            env=os.environ | {"TMPDIR": str(self.temporary), MARK: str(self.folder)}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self) -> str:
        """Runs it to its end; what is wrong, or nothing."""
        process = self.start()
        _, said = process.communicate()
        return f"the next run failed: {said.strip()}" if process.returncode else ""

    def digest(self) -> str:
        path = self.folder / self.output
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "missing"

    def left(self) -> list[str]:
        """What is left of a run that has ended."""
        found = [f"file {path}" for path in self.folder.rglob("*buildplug-tmp")]
        found += [f"file {path}" for path in self.temporary.iterdir()]
        found += [
            f"mount {line}" for line in Path("/proc/mounts").read_text().splitlines() if str(self.folder.parent) in line
        ]
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.folder}".encode() in (path / "environ").read_bytes().split(b"\0"):
                    found.append(f"process {(path / 'comm').read_text().strip()}")
            except OSError:  # it has ended
                continue
        return found

    def kill(self, draw: random.Random, variant: int) -> list[str]:
        """Kills a run at some moment of it; then runs it to its end. What is wrong with what either has left."""
        number, victim = draw.choice(SIGNALS), draw.choice(VICTIMS)
        number = signal.SIGKILL if victim == "worker" else number
        moment = draw.uniform(0, self.seconds * 1.1)
        self.change(variant)
        process = self.start()
        time.sleep(moment)
        _send(process, number, victim)
        process.communicate()
        what = f"{self.name}: {number.name} to the {victim} after {moment:.2f} s"
        deadline = time.monotonic() + PATIENCE
        # what only the worker knew of, the next run removes
        while left := [one for one in self.left() if victim != "worker" or not one.startswith("file ")]:
            if time.monotonic() > deadline:
                return [f"{what}: left {one}" for one in left]
            time.sleep(0.05)
        if self.digest() not in self.outputs.values():
            return [f"{what}: {self.output} is neither old nor new"]
        if failed := self.run():
            return [f"{what}: {failed}"]
        if self.digest() != self.outputs[variant]:
            return [f"{what}: the next run made another {self.output}"]
        return [f"{what}: the next run left {one}" for one in self.left() if not one.startswith("process ")]


def _send(process: "subprocess.Popen[str]", number: int, victim: str) -> None:
    """Kills the process, its group, or the child that does its work."""
    try:
        if victim == "worker":
            below = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(below[0]) if below else process.pid, number)
        elif victim == "group":
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
    except (OSError, ProcessLookupError):  # it has ended before
        pass


def scenes(work: Path) -> list[Scene]:
    """A build, a link, a rebuild and kbuild; each has run once with either variant."""
    found = [_build(work), _ld(work), _repro(work), _kbuild(work)]
    for scene in found:
        scene.temporary.mkdir()
        for variant in (0, 1):
            scene.change(variant)
            began = time.monotonic()
            failed = scene.run()
            assert not failed, f"{scene.name}: {failed}"
            scene.seconds = time.monotonic() - began
            scene.outputs[variant] = scene.digest()
        assert len({*scene.outputs.values()}) == 2 or scene.name in ("repro", "kbuild")
    return found


def _project(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, text in PROJECT.items():
        (folder / name).write_text(text)
    return folder


def _source(folder: Path, variant: int) -> None:
    (folder / "k.c").write_text(
        f"int more(int n);\nint f{variant}(void) {{ return 1; }}\nint _start(void) {{ return more(2); }}\n"
    )


def _build(work: Path) -> Scene:
    folder = _project(work / "build" / "project")
    return Scene("build", folder, ("build",), "build/k", lambda variant: _source(folder, variant))


def _ld(work: Path) -> Scene:
    folder = _project(work / "ld" / "project")

    def change(variant: int) -> None:
        _source(folder, variant)
        subprocess.run(["gcc", *FLAGS, "-c", "k.c", "more.c"], cwd=folder, check=True)

    command = ("ld", "--config", "buildplug.toml", "--ld", "ld", "-T", "k.lds", "k.o", "more.o", "-o", "k")
    return Scene("ld", folder, command, "k", change)


def _repro(work: Path) -> Scene:
    """Its output is the project, which it only reads."""
    folder = _project(work / "repro" / "project")
    _source(folder, 0)
    command = ("repro", ".", "--vary=-all,time,fileordering,launcher")
    return Scene("repro", folder, command, "k.c", lambda variant: None)


def _kbuild(work: Path) -> Scene:
    """Its output is a header that it patches; of a tree that has only what it looks at."""
    folder, stage = work / "kbuild" / "linux", STAGES[0]
    written(folder, stage)
    edit(folder / "Makefile", (f"bzImage: {SCRIPT} ; @", f"bzImage: {SCRIPT} ; @sleep 1 & wait; "))
    return Scene("kbuild", folder, ("kbuild", "--paravirt", "."), min(stage.emptied), lambda variant: None)


def kills(number: int, keep: Path, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """Kills so often; how often each scene was, and the faults, at most one a scene: it is not killed again."""
    draw, done, faults = random.Random(seed), Counter[str](), list[str]()
    with tempfile.TemporaryDirectory(prefix="kills-", ignore_cleanup_errors=True) as work:
        playing = scenes(Path(work))
        while playing and done.total() < number:
            scene = playing[done.total() % len(playing)]
            found = scene.kill(draw, done[scene.name] % 2)
            done[scene.name] += 1
            if found:
                faults += found
                playing.remove(scene)
                shutil.copytree(scene.folder, keep / scene.name, symlinks=True, dirs_exist_ok=True)
    return done, faults


def main() -> int:
    parser = ArgumentParser("python -m tests.fuzz.kills")
    parser.add_argument("number", type=int, nargs="?", default=100)
    number, began = parser.parse_args().number, time.monotonic()
    done, faults = kills(number, Path("kills.found"), seed=int(time.time()))
    print(*faults, sep="\n")
    each = ", ".join(f"{name} {count}" for name, count in done.items())
    print(f"{done.total()} kills ({each}), {len(faults)} faults, {time.monotonic() - began:.0f} s")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
