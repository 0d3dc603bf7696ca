"""The outputs of links by Cargo: a hash is in the name of the file, or in that of its folder.

For the program my-kernel, Cargo has rustc make `target/…/deps/my_kernel-0123456789abcdef`, and then makes a link to it
by the program's name. With its newer layout of the build directory the former is
`target/…/build/my-kernel/0123456789abcdef/out/my_kernel`.
"""

import re
from pathlib import Path

OUTPUTS = ("deps/{crate}-{hash}", "{hash}/out/{crate}")  # the ends of their paths
_PATTERN = "|".join(output.format(crate="([^/]+)", hash="[0-9a-f]{16}") for output in OUTPUTS)
_OUTPUT = re.compile(rf"(?:.*/)?(?:{_PATTERN})", re.DOTALL)


def crate(output: str) -> str:
    """The name of the program whose output by Cargo this is, as Rust writes it; empty if it is no such output."""
    match = _OUTPUT.fullmatch(output)
    return next(filter(None, match.groups())) if match else ""


def as_crate(program: str) -> str:
    """A program's name as Rust writes it."""
    return program.replace("-", "_")


def is_of(output: str, image: str) -> bool:
    """Whether the output of a link is that image: it has its name, or the one that Cargo gives it."""
    return image == Path(output).name or crate(output) == as_crate(image)
