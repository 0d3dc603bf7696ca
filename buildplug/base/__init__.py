"""This machine: files, processes, errors, TOML records, name patterns, and where the shipped files are.

Knows no ELF, no kernel and no build.
"""
