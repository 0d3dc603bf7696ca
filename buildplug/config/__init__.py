"""What the user wrote: the project's configuration, table rules, ops and backends.

Knows no image: what a rule selects in one is found by `select`.
"""
