"""Where the files that ship with buildplug lie: rules, templates, the sample kernel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent


def shipped(folder: str) -> Path:
    """The folder of that name that ships with buildplug: inside the package in a wheel, else beside it."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def templates() -> list[Path]:
    """The templates that ship; their names are distinct, whatever folder they lie in."""
    return sorted(shipped("templates").glob("*/*.j2"))


def rules() -> dict[str, Path]:
    """The table rules that ship: name -> file, by name."""
    return {path.stem: path for path in sorted(shipped("rules").glob("tables/*.toml"))}


def build_system(name: str) -> Path:
    """A file for a build system, or with no name the folder of all of them."""
    return shipped("rules") / "build_systems" / name
