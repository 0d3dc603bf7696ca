"""Kernels of one file of C for QEMU's machines `virt`, with a backend for each of two machines."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.samples import buildplug, edit, one_line

HERE = Path(__file__).parent
SECONDS = 600  # a busy machine is slower
TRAPPED = 2  # the status with which they end


@dataclass(frozen=True)
class SmallKernel:
    """A kernel: its architecture, the linkers and flags that build it, QEMU's words, and what a call looks like."""

    name: str
    builds: tuple[tuple[str, str], ...]  # linker, and a flag of the compiler in place of the configuration's
    machine: tuple[str, ...]
    backends: dict[str, tuple[str, ...]]  # backend -> words for the machine that it is for
    call: str  # a pattern of objdump's calls
    pair: tuple[str, ...]  # words for a machine of two processors

    @property
    def folder(self) -> Path:
        return HERE / f"{self.name}_kernel"

    def copy(self, folder: Path, build: tuple[str, str] | None = None) -> Path:
        """A copy of the kernel, for a build."""
        shutil.copytree(self.folder, folder)
        shutil.copytree(HERE / "kernel_parts", folder, dirs_exist_ok=True)
        (first, usual), (linker, flag) = self.builds[0], build or self.builds[0]
        edit(folder / "buildplug.toml", (f'"{first}"', f'"{linker}"'))
        if flag != usual:
            text = (folder / "buildplug.toml").read_text()
            assert usual in text
            (folder / "buildplug.toml").write_text(text.replace(usual, flag))
        return folder

    def copy_that_switches(self, folder: Path, *flags: str) -> Path:
        """A copy that switches backends in use, compiled with more flags."""
        self.copy(folder)
        edit(folder / "buildplug.toml", ('"main.c"', '"switch.S", "switch.c"'), ("paravirt.toml", "switch.toml"),
             ("cflags = [", f"cflags = {json.dumps(flags)[:-1]}{',' * bool(flags)}"))  # fmt: skip
        return folder

    def run(self, kernel: Path, *machine: str, seconds: int = SECONDS) -> subprocess.CompletedProcess[str]:
        """Runs a built copy on a machine until it ends."""
        emulator = [f"qemu-system-{self.name}", "-accel", "tcg", *self.machine, *machine]
        return subprocess.run(
            [*emulator, "-m", "64", "-nographic", "-semihosting", "-kernel", "build/vmlinux"], cwd=kernel, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False,
        )  # fmt: skip

    def boot(self, kernel: Path, backend: str) -> list[str]:
        """Runs a built copy until it traps; the lines that it prints, after those of the firmware."""
        done = self.run(kernel, *self.backends[backend])
        assert done.returncode == TRAPPED, done.stdout
        lines = done.stdout.splitlines()
        return lines[next(n for n, line in enumerate(lines) if line.startswith(f"{backend}: ")) :]


AARCH64 = SmallKernel(
    "aarch64", (("ld.lld", ""), ("aarch64-linux-gnu-ld", "")), ("-cpu", "cortex-a72"),
    {"hvc": ("-M", "virt,virtualization=off"), "smc": ("-M", "virt,virtualization=on")}, r"\tbl\t",
    ("-M", "virt", "-smp", "2"),
)  # fmt: skip
# GNU as gets no -mno-relax from clang, so its objects are for relaxation.
RISCV64 = SmallKernel(
    "riscv64",
    (("ld.lld-19", "-mno-relax"), ("riscv64-linux-gnu-ld", "-mno-relax"), ("ld.lld-19", "-mrelax"),
     ("riscv64-linux-gnu-ld", "-fno-integrated-as")),
    ("-M", "virt"), {"native": ("-smp", "1"), "sbi": ("-smp", "2")}, r"\t(jalr?)\t",
    ("-smp", "2"),
)  # fmt: skip
KERNELS = (AARCH64, RISCV64)


def built_or_refused(kernel: Path, message: str) -> None:
    """Builds a copy of a kernel; with a message, the build must say it and fail."""
    done = buildplug("build", kernel)
    if message:
        assert message in one_line(done.stderr)
    else:
        assert done.returncode == 0, done.stderr
