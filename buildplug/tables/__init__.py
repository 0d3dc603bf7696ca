"""Binary table formats, one per module, behind the interface in `format`.

Imports no pass and renders no text.
"""
