"""What was done, and its attestation: the record of a build, provenance, rebuilds, reports.

Runs no pass.
"""
