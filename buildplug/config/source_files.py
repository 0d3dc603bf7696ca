"""The sources that a configuration names by patterns."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from buildplug.base.errors import BuildplugError
from buildplug.base.input_order import in_order


def matching(path: Path, root: Path, patterns: Sequence[str], build: Path, state: str) -> tuple[str, ...]:
    """The sources below `root`, ascending, but for those of build directories: `build`, and others, which have a file
    `state`. `path`: of the configuration. Raises BuildplugError."""

    @cache
    def built(folder: Path) -> bool:
        return folder == build or (folder / state).exists() or (folder != folder.parent and built(folder.parent))

    found = set[str]()
    for pattern in patterns:
        try:
            matches = [p for p in in_order(root.glob(pattern)) if p.is_file() and not built(p.resolve().parent)]
        except (ValueError, NotImplementedError) as error:
            raise BuildplugError(f"{path}: compile.sources", f"{pattern!r}: {error}") from None
        if not matches:
            raise BuildplugError(f"{path}: compile.sources", f"expected files for {pattern!r}, found none")
        found |= {str(p.relative_to(root)) for p in matches}
    for name in found:
        if name.startswith("-") or not name.isprintable() or "|" in name:  # ninja has no escape for |
            raise BuildplugError(
                f"{path}: compile.sources", f"expected a plain name, found {name!r}", "rename the file"
            )
        if not name.endswith((".c", ".S", ".s")):
            raise BuildplugError(f"{path}: compile.sources", f"expected .c, .S or .s, found {name}")
    return tuple(sorted(found))


def folders(root: Path, patterns: Sequence[str], build: Path) -> set[Path]:
    """The folders in which a new file, or a new folder, may match the patterns."""
    found = set[Path]()
    for pattern in patterns:
        parts = Path(pattern).parts
        for number, part in enumerate(parts):
            if set("*?[") & set(part) or "**" in parts[:number]:
                found |= {*(root.glob("/".join(parts[:number])) if number else [root])}
    return {path for path in found if path.is_dir() and not path.is_relative_to(build)}
