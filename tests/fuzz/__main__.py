"""Feeds mutated files to all that reads files, and mutated tables to the runtime in C and in Rust, under sanitizers:
`python -m tests.fuzz MINUTES`, `MINUTES=5 make fuzz`.

A fault is anything but success or a BuildplugError: another exception, an error of several lines, much memory, an
input that takes long, what a sanitizer reports, or memory that a call changed before it returned an error. The inputs
of faults are kept in the folder fuzz.found. Seeds are made anew each time: a small kernel is built, and images of every
architecture are written.
"""

import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from buildplug.base.errors import BuildplugError
from tests.fuzz import kernel, runtime
from tests.fuzz.targets import targets

LONGEST = 20  # seconds an input may take, on a machine that does other things, too
MEMORY = 4 << 30  # bytes of address space
SHOWN = 20


class TooSlow(Exception):
    """An input takes longer than LONGEST."""


@dataclass
class Found:
    """inputs: by target; faults: the first input of each different fault, by what it says."""

    keep: Path
    inputs: Counter[str] = field(default_factory=Counter)
    faults: dict[str, Path] = field(default_factory=dict)

    def fault(self, target: str, data: bytes, says: str) -> None:
        key = f"{target}: {says}"
        if key not in self.faults:
            self.keep.mkdir(parents=True, exist_ok=True)
            path = self.keep / f"{target}-{sha256(data).hexdigest()[:12]}"
            path.write_bytes(data)
            self.faults[key] = path


def fault_of(read: Callable[[bytes], object], data: bytes) -> str:
    """What a reader does wrong with an input: the exception and where it was raised; "" if nothing."""
    limits = resource.getrlimit(resource.RLIMIT_AS)  # not for the process with the C: a sanitizer reserves more
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, limits[1]))
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        read(data)
    except BuildplugError as error:
        return "an error of several lines" if "\n" in str(error) else ""
    except Exception as error:
        where = [frame for frame in traceback.extract_tb(error.__traceback__) if "/buildplug/" in frame.filename]
        place = f"{Path(where[-1].filename).name}:{where[-1].lineno}" if where else "?"
        return f"{type(error).__name__} at {place}: {str(error)[:80]!r}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
    return ""


def fuzz(seconds: float, keep: Path, seed: int = 0, most: int | None = None) -> Found:
    """Runs for so long, or for so many inputs."""
    found, rng = Found(keep), random.Random(seed)
    signal.signal(signal.SIGALRM, _too_slow)
    with tempfile.TemporaryDirectory(prefix="fuzz.") as name:
        folder = Path(name)
        scratch, host_folder = folder / "scratch", folder / "host"
        for path in (scratch, host_folder):
            path.mkdir()
        every = targets(kernel.build(folder / "kernel"), scratch)
        hosts = {name: runtime.Host(made(host_folder)) for name, (made, _, _) in runtime.HOSTS.items()}
        names = [*every, *hosts]
        shares = [*(target.share for target in every.values()), *(share for _, _, share in runtime.HOSTS.values())]
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end and (most is None or found.inputs.total() < most):
                (target,) = rng.choices(names, shares)
                found.inputs[target] += 1
                if target in hosts:
                    data = runtime.an_input(rng, runtime.HOSTS[target][1])
                    if says := hosts[target].fault(data):
                        found.fault(target, data, says)
                    continue
                chosen = every[target]
                data = chosen.mutate(rng, rng.choice(chosen.seeds))
                if says := fault_of(chosen.read, data):
                    found.fault(target, data, says)
        finally:
            for host in hosts.values():
                host.close()
    return found


def _too_slow(*_: object) -> None:
    raise TooSlow


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, default=Path("fuzz.found"), help="the folder for inputs of faults")
    options = parser.parse_args()
    start = time.monotonic()
    warnings.simplefilter("error")  # a user must see none
    found = fuzz(60 * options.minutes, options.keep, options.seed)
    for says, path in list(found.faults.items())[:SHOWN]:
        print(f"{path}: {says}")
    by = ", ".join(f"{name} {count:,}" for name, count in found.inputs.most_common())
    seconds = time.monotonic() - start
    print(f"{found.inputs.total():,} inputs, {len(found.faults)} faults, {seconds:.0f} s; seed {options.seed}: {by}")
    sys.exit(bool(found.faults))


if __name__ == "__main__":
    main()
