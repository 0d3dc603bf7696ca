"""kallsyms tables as the assembly that Linux's scripts/kallsyms prints, byte for byte."""

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from buildplug.tables.kallsyms import KallsymsForm
from buildplug.tables.kallsyms_format import Kallsyms, decode, entries
from buildplug.tables.kallsyms_tokens import CODES


def assembly(tables: Kallsyms, text: int, form: KallsymsForm) -> dict[str, Any]:
    """The variables of template kallsyms.S.j2: each part with its lines. `text` is the address of _text."""
    behind = tables.relative_base - text
    ends = list(accumulate(map(len, entries(tables, "kallsyms")), initial=0))
    thirds = range(0, len(tables.seqs_of_names) + 1, 3)
    tokens = _quoted(b"".join(token + b"\0" for token in tables.token_table.split(b"\0")[:CODES]))
    values = {
        "offsets": [f".long\t{offset:#x}" if offset else ".long\t0" for offset in tables.offsets.view("<u4").tolist()],
        "relative_base": [f"PTR\t_text {'-' if behind < 0 else '+'} {f'{abs(behind):#x}' if behind else 0}"],
        "num_syms": [f".long\t{len(tables.offsets)}"],
        "names": [f".byte {name}" for name in _hex(tables.names, ends)],
        "markers": [f".long\t{marker}" for marker in tables.markers.tolist()],
        "seqs_of_names": [f".byte {seq}" for seq in _hex(tables.seqs_of_names, thirds)],
        "token_table": [f'.asciz\t"{token}"' for token in tokens],
        "token_index": [f".short\t{start}" for start in tables.token_index.tolist()],
    }
    if form.commented:
        symbols = decode(tables, "kallsyms")
        if form.held:
            distances = (symbols.addresses - np.uint64(text)).astype("i8")
            values["offsets"] = [f".long\t_text - . + ({distance})" for distance in distances.tolist()]
        shown = b"".join(b"%c%s\0" % row for row in zip(symbols.types, symbols.names, strict=True))
        comments = [f"\t/* {name} */" for name in _quoted(shown.replace(b"*/", b"*|"))]  # no end of a comment inside
        by_name = [comments[seq] for seq in symbols.seqs.tolist()]
        for part, after in (("offsets", comments), ("names", comments), ("seqs_of_names", by_name)):
            values[part] = [line + comment for line, comment in zip(values[part], after, strict=True)]
    return {"parts": [(part, values[part]) for part in form.printed], "sized": form.sized}


def _hex(data: bytes, bounds: Sequence[int]) -> list[str]:
    """The bytes between consecutive bounds, in assembler syntax."""
    text, width = "0x" + data.hex(",").replace(",", ", 0x"), len("0x00, ")
    return [text[width * start : width * end - 2] for start, end in pairwise(bounds)]


def _quoted(texts: bytes) -> list[str]:
    """Texts, each with a zero byte behind it, escaped for assembler strings."""
    return re.sub(rb'[^\0 -~]|["\\]', lambda found: b"\\%03o" % ord(found[0]), texts).decode().split("\0")[:-1]
