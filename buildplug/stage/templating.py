"""Jinja, sandboxed: templates by name, the user's before the shipped ones, and what is wrong with one in a line.

Shipped templates are compiled once: kept as Python keeps its modules, in __pycache__ beside them, where only those may
write who installed them. Templates of the user are compiled anew.
"""

import sys
from contextlib import suppress
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.bccache import Bucket
from jinja2.sandbox import ImmutableSandboxedEnvironment

from buildplug.base import files
from buildplug.base.data import shipped
from buildplug.base.errors import BuildplugError, printable

CORRECT = "correct the template"
OPTIONS = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}


def render(name: str, base: Path | None, **values: Any) -> str:
    """The text of a template. Raises BuildplugError that names the template and its line."""
    try:
        return _environment(base).get_template(name).render(**values)
    except jinja2.TemplateNotFound as error:
        raise BuildplugError(
            name, "expected a template, found none", f"write {(base or Path()) / (error.name or name)}"
        ) from None
    except jinja2.TemplateSyntaxError as error:
        raise BuildplugError(f"{error.filename or name}:{error.lineno}", f"{error.message}", CORRECT) from None
    except BuildplugError:
        raise
    except Exception as error:  # a template may raise anything
        traceback, line = error.__traceback__, 0
        while traceback:
            if traceback.tb_frame.f_code.co_filename.endswith(name):
                line = traceback.tb_lineno
            traceback = traceback.tb_next
        raise BuildplugError(f"{name}:{line}", f"does not render: {error}", CORRECT) from None


def references(path: Path, base: Path) -> list[str]:
    """The names of the templates that a user's template refers to; none if it is malformed, as render() reports it."""
    try:
        read = meta.find_referenced_templates(_environment(base).parse(path.read_text()))
        return [name for name in read if name]
    except (jinja2.TemplateError, OSError, ValueError):
        return []


@cache
def _environment(base: Path | None) -> jinja2.Environment:
    """Templates by name: the user's, relative to `base` if given, override the shipped ones."""
    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader([*([base] if base else []), *sorted(shipped("templates").iterdir())]),
        undefined=jinja2.StrictUndefined,
        bytecode_cache=Compiled(str(OPTIONS)),
        **OPTIONS,
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
    )
    environment.filters |= {"comment": _comment, "cbytes": _cbytes, "number": _number}
    return environment


def _comment(text: str) -> str:
    """A name, made safe inside an assembly or C comment."""
    return printable(text).replace("*/", "*\\/").replace("/*", "/\\*").replace("\\\n", "")


def _cbytes(data: bytes, width: int) -> str:
    return ", ".join(f"{byte:#04x}" for byte in data.ljust(width, b"\0"))


def _number(code: bytes) -> int:
    """An instruction's word; instructions are little-endian."""
    return int.from_bytes(code, "little")


class Compiled(jinja2.BytecodeCache):
    """Python's bytecode of shipped templates. `options`: what else than their text decides it."""

    def __init__(self, options: str) -> None:
        self.options = f"{jinja2.__version__} {options}"

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        return filename or ""

    def get_source_checksum(self, source: str) -> str:
        return super().get_source_checksum(f"{self.options}\n{source}")

    def load_bytecode(self, bucket: Bucket) -> None:
        if path := _kept(bucket):
            with suppress(OSError), path.open("rb") as file:
                bucket.load_bytecode(file)

    def dump_bytecode(self, bucket: Bucket) -> None:
        if (path := _kept(bucket)) and not sys.dont_write_bytecode:
            with suppress(BuildplugError):  # the folder may be read-only
                files.write(path, bucket.bytecode_to_string())


def _kept(bucket: Bucket) -> Path | None:
    """Where the bytecode of a template is kept; None if it is the user's, or if this Python
    keeps none."""
    is_shipped = Path(bucket.key).is_relative_to(shipped("templates"))
    return Path(cache_from_source(bucket.key)) if is_shipped and sys.implementation.cache_tag else None
