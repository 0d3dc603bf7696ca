"""The command line, a module a command: its arguments beside its function.

The only place that prints errors and exits.
"""
