"""An ops file with two backends, read from a folder."""

from pathlib import Path

from buildplug.arch.model import Arch
from buildplug.arch.x86 import X86_64
from buildplug.config.ops import Ops, read

GOOD = """
[ops.one]
function = "pv_one"
clobbers = []
[ops.two]
slot = "pv_ops+8"
[backends.native]
one = { inline = "cli" }
two = { function = "native_two" }
[backends.other]
one = { nothing = true }
"""


def parsed(folder: Path, text: str, arch: Arch = X86_64) -> Ops:
    (folder / "ops.toml").write_text(text)
    return read(folder / "ops.toml", arch)
