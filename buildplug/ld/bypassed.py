"""Outputs that a build linked without us, although the configuration asks for tables in them."""

import os
from collections.abc import Iterator
from pathlib import Path

from buildplug.base.errors import BuildplugError
from buildplug.config.project import Config, read
from buildplug.image.elf import Image


def outputs(config: Config) -> Iterator[tuple[Path, str]]:
    """The files with the kernel's name, in the configuration's folder and below, that lack the section of a table; and
    that section's name. Files of other kinds, and images without a list of sections, are not among them."""
    for folder, names, found in os.walk(config.root):
        names[:] = sorted(name for name in names if not name.startswith(".") and not name.endswith(".buildplug"))
        path = Path(folder, config.kernel.name)
        if path.name not in found or path.is_symlink():
            continue
        try:
            image = Image(path)
            own = config if image.arch == config.arch else read(config.path, arch=image.arch.name)
        except BuildplugError:  # no ELF file, or of an architecture that has no such tables
            continue
        sections = {section.name for section in image.sections}
        missing = next((table.rule.section for table in own.tables if table.rule.section not in sections), "")
        if missing and ".symtab" in sections:
            yield path, missing
