"""Boots Linux in QEMU, on bare hardware or as dom0 of Xen, with an init of ours; what it says and what memory holds."""

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path

from buildplug.base.process import run
from sample_kernel.boot import QEMU, read_memory_at
from tests.linux_cross import Cross

INIT = Path(__file__).with_name("linux_init.c")
XENS = "xen-*-amd64.gz"  # in /boot
SECONDS = 400  # under Xen a minute; a busy machine is slower
HOLD = "hold"  # what init says at its end

MACHINE = (
    "-accel", "tcg", "-m", "512", "-no-reboot", "-display", "none", "-monitor", "none", "-serial", "stdio",
)  # fmt: skip

Regions = Callable[[str], Iterable[tuple[int, int]]]


def initramfs(folder: Path, cc: str = "gcc") -> Path:
    """An archive of init alone (Linux: early-userspace/buffer-format, "newc")."""
    run(
        [cc, "-O2", "-static", "-nostdlib", "-fno-stack-protector", "-o", folder / "init", INIT],
        folder,
        "build init",
    )
    path, archive = folder / "initramfs", b""
    for name, mode, content in ((b"init", 0o100755, (folder / "init").read_bytes()), (b"TRAILER!!!", 0, b"")):
        fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name + b"\0"
        for part in (head, content):
            archive += part + bytes(-len(part) % 4)
    path.write_bytes(archive)
    return path


def boot(image: Path, arguments: str, regions: Regions, folder: Path, *, xen: bool = False) -> tuple[str, list[bytes]]:
    """Boots a bzImage until init is done: the serial output, and the regions of memory that are wanted by it."""
    archive, line = initramfs(folder), f"console=ttyS0 quiet {arguments}"
    machine = [QEMU, *MACHINE]
    if xen:
        newest = max(Path("/boot").glob(XENS), key=lambda path: path.stat().st_mtime)
        (folder / "xen").write_bytes(gzip.decompress(newest.read_bytes()))
        kernel = ["-kernel", f"{folder}/xen", "-append", "console=none", "-initrd", f"{image} {line},{archive}"]
    else:
        kernel = ["-kernel", f"{image}", "-append", line, "-initrd", f"{archive}"]
    return read_memory_at([*machine, *kernel], HOLD, regions, SECONDS)


def boot_cross(cross: Cross, image: Path, arguments: str, folder: Path) -> str:
    """Boots an Image of another architecture until init is done: the serial output."""
    archive = initramfs(folder, f"{cross.prefix}gcc")
    kernel = ["-kernel", f"{image}", "-append", f"console={cross.console} quiet {arguments}", "-initrd", f"{archive}"]
    return read_memory_at([*cross.machine, *MACHINE, *kernel], HOLD, lambda _: (), SECONDS)[0]
