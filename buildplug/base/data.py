"""Where the files that ship with buildplug are: rules, templates, the sample kernel."""

from pathlib import Path

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


def build_system(name: str) -> Path:
    """The path of a file for a build system; with an empty name, of their folder."""
    return shipped("rules") / "build_systems" / name
