"""This machine: files, processes, errors, TOML records, name patterns, and where shipped files lie.

Knows no ELF, no kernel and no build.
"""
