"""Draft, tables, relink or fill, proof: the passes that hold for any build, and the text that they render.

Knows no build system: how a build links and assembles is given to it.
"""
