"""What the user wrote: the project's configuration, table rules, ops and backends.

Independent of images: `select` finds what a rule selects in one.
"""
