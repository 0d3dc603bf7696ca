"""buildplug: a build stage that links a kernel, makes tables out of the link's own relocations, and relinks once."""

__version__ = "0.1.0"
