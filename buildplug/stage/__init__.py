"""The passes of any build: draft, tables, relink or fill, proof; and the text that they render.

Independent of the build system, which supplies the commands to link and to assemble.
"""
