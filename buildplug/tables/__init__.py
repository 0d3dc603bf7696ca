"""The binary formats of tables, one a module, behind the protocol of `format`.

Knows no pass and renders no text.
"""
