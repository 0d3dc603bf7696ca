"""Options that keep a link from getting tables, as data: they are refused by name before the first link."""

from buildplug.base.errors import BuildplugError
from buildplug.base.globs import globs
from buildplug.base.records import frozen
from buildplug.linker.command_line import LinkLine

NO_IMAGE = "the linker makes no image with it"
SYMBOLS = "tables are made of symbols and relocations"


@frozen
class Unusable:
    """A long option of GNU ld, lld or mold."""

    reason: str
    remedy: str = "link without it"
    values: tuple[str, ...] = ("*",)  # globs of those that are unusable
    usable: tuple[str, ...] = ()  # globs of values that are not, although they match
    with_script: bool = True  # whether it is unusable beside a linker script, too


SPLIT = Unusable("it makes several sections of one name, and tables say in which section something is")
NEEDS_SCRIPT = Unusable(
    "no linker script places the tables, so that they are orphans", "give the linker a script with -T",
    values=("error", "discard"), with_script=False,
)  # fmt: skip
OPTIONS = {
    "strip-all": Unusable(SYMBOLS, "strip the image after the link"),
    "retain-symbols-file": Unusable(SYMBOLS, "strip the image after the link: objcopy --keep-symbols"),
    "oformat": Unusable("tables are made of ELF", "convert the image after the link: objcopy -O"),
    "task-link": Unusable("it drops sections and symbols of a program"),
    "unique": SPLIT,
    "split-by-file": SPLIT,
    "enable-non-contiguous-regions": Unusable("it does not go with INSERT, which places tables in a linker script"),
    "orphan-handling": NEEDS_SCRIPT,
    "shuffle-sections": Unusable("the order of sections must be that of the draft", usable=("*=-1",)),
    "randomize-section-padding": Unusable("the places of sections must be those of the draft"),
    "lto-emit-asm": Unusable(NO_IMAGE),
    "lto-emit-llvm": Unusable(NO_IMAGE),
    "thinlto-index-only": Unusable(NO_IMAGE),
    "plugin-opt": Unusable(NO_IMAGE, values=("emit-asm", "emit-llvm", "thinlto-index-only*")),
    "run": Unusable(NO_IMAGE),
    "z": Unusable("tables need section headers", values=("nosectionheader",)),
}


def check(line: LinkLine) -> None:
    """Raises BuildplugError for an option that keeps a link from getting tables."""
    for name, value in line.given:
        option = OPTIONS.get(name)
        if option is None or ("script" in line and not option.with_script):
            continue
        if globs(option.values)(value) and not globs(option.usable)(value):
            written = f"-{name} {value}" if len(name) == 1 else f"--{name}" + (f"={value}" if value else "")
            raise BuildplugError(written, f"cannot be used: {option.reason}", option.remedy)
