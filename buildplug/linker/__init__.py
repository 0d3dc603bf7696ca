"""What linkers understand: command lines, linker scripts, families of linkers, depfiles.

Runs no linker.
"""
