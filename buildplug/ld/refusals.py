"""Links that get no tables although they seem to be meant to: what is said of them."""

from pathlib import Path

from buildplug.base.errors import BuildplugError
from buildplug.config.project import read_file
from buildplug.config.rule import find
from buildplug.ld import cargo
from buildplug.linker import family, unusable
from buildplug.linker.command_line import LinkLine
from buildplug.linker.family import Family


def usable_family(ld: str, flavor: list[str], line: LinkLine, config: Path, arch: str) -> Family:
    """The linker's family. Raises BuildplugError if it, or an option, keeps the kernel's link from getting tables."""
    unusable.check(line)
    found, file = family.of(ld, flavor), read_file(config, arch)
    placed = "script" in line or any((file.link.after, *(table.after for table in file.table)))
    if reason := found.unusable(placed=placed):
        raise BuildplugError(ld, f"{found.says} cannot be used: {reason}", "use GNU ld or lld")
    return found


def check_name(config: Path, line: LinkLine, image: str, status: int) -> None:
    """Raises BuildplugError if a link that failed with this status, and got no tables as its output is not `image`, has
    an input that names one of them."""
    try:
        symbols = [find(table.rule, config.absolute().parent).symbol for table in read_file(config).table]
    except BuildplugError:  # the configuration is not what the linker has failed of
        return
    for name in line.inputs:
        for symbol in symbols if Path(name).is_file() else ():
            if f"{symbol}\0".encode() in Path(name).read_bytes():
                found = cargo.crate(line.output) or Path(line.output).name
                raise BuildplugError(
                    line.output, f"was linked without the table {symbol}, which {name} refers to: expected the output "
                    f"{image}, found {found}", f"make [kernel] name in {config} the output's name", status=status,
                )  # fmt: skip
