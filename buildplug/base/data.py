"""Where the files that ship with buildplug are: rules, templates, the sample kernel."""

from pathlib import Path

HOOK = "hatch_build.py"  # not of the package, but of who makes it
PACKAGE = Path(__file__).resolve().parent.parent


def shipped(folder: str) -> Path:
    """The path of a folder that ships with buildplug: inside the package in a wheel, else beside it."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def templates() -> list[Path]:
    """The shipped templates. Their file names are unique across folders."""
    return sorted(shipped("templates").glob("*/*.j2"))


def rules() -> dict[str, Path]:
    """The shipped table rules: name -> file, sorted by name."""
    return {path.stem: path for path in sorted(shipped("rules").glob("tables/*.toml"))}


def own_files() -> list[Path]:
    """The files of buildplug that decide what it makes: its Python and C, templates and rules."""
    code = (*PACKAGE.glob("*.py"), *PACKAGE.glob("*/*.py"), *PACKAGE.glob("native/*.[ch]"))
    paths = [*(path for path in code if path.name != HOOK), *templates(), *rules().values()]
    return sorted(
        paths, key=lambda path: (path.parent.name, path.name)
    )  # the same order installed as in the source tree


def build_system(name: str) -> Path:
    """The path of a file for a build system; with an empty name, of their folder."""
    return shipped("rules") / "build_systems" / name
