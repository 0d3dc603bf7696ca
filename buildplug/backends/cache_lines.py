"""The cache lines of backends' implementations, and the check that a group shares one."""

from buildplug.base.errors import BuildplugError
from buildplug.base.records import frozen
from buildplug.config.ops import Ops
from buildplug.config.rule import Rule
from buildplug.image.elf import Image


@frozen
class Target:
    """The code of a backend for an op, as sites call it: address, and size in bytes."""

    address: int
    size: int

    def lines(self, line: int) -> range:
        """The numbers of the cache lines, of `line` bytes each, that the code is in."""
        return range(self.address // line, (self.address + max(self.size, 1) - 1) // line + 1)


def targets(image: Image, rule: Rule, declared: Ops) -> dict[str, dict[str, Target]]:
    """Backend -> op -> its code. Raises BuildplugError if the image lacks one."""
    found: dict[str, dict[str, Target]] = {}
    for backend, implementations in declared.backends.items():
        for op, implementation in implementations.items():
            name = f"{rule.symbol}_{backend}__{op}" if implementation.is_copied else implementation.function
            symbol = image.symbol(name)
            if symbol is None:
                raise image.bad(f"backend {backend}, op {op}: expected the code {name}, found none")
            found.setdefault(backend, {})[op] = Target(int(symbol["value"]), int(symbol["size"]))
    return found


def check(image: Image, rule: Rule, declared: Ops) -> None:
    """Raises BuildplugError if the implementations of a group do not share a cache line."""
    line, where = image.arch.line, targets(image, rule, declared)
    for name, group in declared.groups.items():
        for backend in group.backends or declared.backends:
            given = {op: where[backend][op] for op in group.ops if op in where.get(backend, {})}
            used = {number for target in given.values() for number in target.lines(line)}
            if len(used) > 1:
                places = ", ".join(f"{op} {t.size} bytes at {t.address:#x}" for op, t in given.items())
                raise BuildplugError(
                    image.path,
                    f"group {name}, backend {backend}: expected one cache line of {line} bytes, found {places}",
                    "give all of them inline code, or put their functions together, aligned to a line",
                )


def about(image: Image, rule: Rule, declared: Ops) -> dict[str, dict[str, dict[str, int]]]:
    """For the build record: backend -> op -> address, bytes, number of the first cache line, and for code that saves
    registers around a call, their number (each costs two instructions; the call and return, two more)."""
    return {
        backend: {
            op: {"address": t.address, "bytes": t.size, "line": t.address // image.arch.line}
            | ({"saves": len(declared.ops[op].kept(image.arch))} if declared.backends[backend][op].preserve else {})
            for op, t in given.items()
        }
        for backend, given in targets(image, rule, declared).items()
    }
