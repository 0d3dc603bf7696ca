"""buildplug extract, as a user runs it."""

import json

from tests.conftest import Link, tool
from tests.samples import buildplug

SOURCE = """
    .globl _start, second
    .type _start, @function
_start: call second
    .size _start, . - _start
    .type second, @function
second: ret
    .size second, . - second
"""


def test_the_symbols_of_a_rule_without_fields_are_listed(link: Link) -> None:
    image = link(SOURCE).path
    done = buildplug("extract", image, "--rule", "ksyms", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    listed = {(row["address"], row["name"]) for row in json.loads(done.stdout)["rows"]}
    theirs = [line.split() for line in tool("nm", image).splitlines()]
    assert listed >= {(int(address, 16), name) for address, _, name in theirs if name in ("_start", "second")}
    assert {name for _, name in listed} <= {name for *_, name in theirs}
