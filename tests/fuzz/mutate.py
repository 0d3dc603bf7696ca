"""Changes of files: bytes anywhere, or values of JSON and TOML."""

import json
import random
import struct
from copy import deepcopy
from typing import Any

NUMBERS = (0, 1, 2, 3, 7, 8, 0x40, 0x7F, 0x80, 0xFF, 0xFFF1, 0xFFFF, 1 << 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
           1 << 40, 0x7FFFFFFFFFFFFFFF, 1 << 63, 0xFFFFFFFFFFFF7400, 2**64 - 1)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1 << 70, 1.5, float("inf"), "", "*", "../../etc/passwd", "a\nb", "\0", "\ud800", "x" * 5000,
    [], [[]], {}, {"": 0}, ["x", 1],
)  # fmt: skip
TEXTS = ("true", "-1", "99999999999999999999", '""', '"*"', '"[a"', '"\\u0000"', "[]", "[[]]", "{}", "1.5", "nan",
         "2020-01-01", '"{ax}"', '"a+0x10"', '"\\\\x80"', "['a', 1]", '"../x"')  # fmt: skip


def binary(rng: random.Random, data: bytes) -> bytes:
    """One to eight changes, most of numbers at aligned places, many near the start or the end, where headers are."""
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if not content:
            break
        room = len(content)
        near = rng.choice((room, room, min(room, 512), min(room, 64)))
        at = rng.randrange(near) if rng.random() < 0.6 else room - 1 - rng.randrange(near)
        kind = rng.random()
        if kind < 0.35:
            content[at] ^= 1 << rng.randrange(8)
        elif kind < 0.85:
            size = rng.choice((1, 2, 4, 8))
            at -= at % size
            old = int.from_bytes(content[at : at + size], "little")
            value = rng.choice((rng.choice(NUMBERS), old + rng.choice((-1, 1, 8, 4096)), room, rng.getrandbits(64)))
            content[at : at + size] = struct.pack("<Q", value % 2**64)[:size][: room - at]
        elif kind < 0.92:
            other, size = rng.randrange(room), rng.randrange(1, 200)
            content[at : at + size] = content[other : other + size]
        elif kind < 0.96:
            del content[at:]
        else:
            del content[at : at + rng.randrange(1, 64)]
    return bytes(content)


def of_json(rng: random.Random, data: bytes) -> bytes:
    """Another value somewhere, a key less or more, or other bytes."""
    if rng.random() < 0.2:
        return binary(rng, data)
    document = json.loads(data)
    for _ in range(rng.choice((1, 1, 2))):
        node = document
        while isinstance(node, dict | list) and node:
            key: Any = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
            if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.2:
                if rng.random() < 0.2:
                    del node[key]
                elif isinstance(node, dict) and rng.random() < 0.1:
                    node[str(rng.choice(VALUES))] = deepcopy(rng.choice(VALUES))
                else:
                    node[key] = deepcopy(rng.choice(VALUES))  # a later change of it must not change VALUES
                break
            node = node[key]
    return json.dumps(document).encode()


def of_toml(rng: random.Random, data: bytes) -> bytes:
    """Another value on a line, a line less or twice, or other bytes."""
    if rng.random() < 0.2:
        return binary(rng, data)
    lines = data.decode().splitlines()
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(lines))
        key, equal, _ = lines[at].partition("=")
        kind = rng.random()
        if equal and kind < 0.6:
            lines[at] = f"{key}= {rng.choice(TEXTS)}"
        elif kind < 0.75:
            del lines[at]
        elif kind < 0.9:
            lines.insert(rng.randrange(len(lines) + 1), lines[at])
        elif equal:
            lines[at] = f"{rng.choice(('x', 'rule', 'name', key + 'x'))} ={_}"
        if not lines:
            break
    return "\n".join(lines).encode("utf-8", "surrogatepass")
