"""Shipped templates, compiled once: kept as Python keeps its modules, in __pycache__ beside them, where only those may
write who installed them. Templates of the user are compiled anew."""

import sys
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket

from buildplug.base import files
from buildplug.base.data import shipped
from buildplug.base.errors import BuildplugError


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
