"""What was done, and attesting it: the record of a build, provenance, rebuilds, reports.

Runs no pass.
"""
