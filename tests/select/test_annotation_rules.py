"""Rules of annotations, as the command line shows and checks them."""

from pathlib import Path

import pytest

from tests.conftest import Link
from tests.samples import buildplug, edit, one_line
from tests.select.records import CODE, nm

RULE = """
name = "handlers"
about = "handlers that the kernel's own macro lists"
[select]
rows = "records"
sections = [".handlers"]
members = [
    { name = "handler", type = "u8", holds = "address", base = "zero" },
    { name = "flags", type = "u4" },
    { name = "text", type = "i4", holds = "string" },
]
[table]
sort = ["flags"]
fields = [
    { name = "handler", type = "i4", value = "handler" },
    { name = "name", type = "string", value = "handler.symbol" },
    { name = "flags", type = "u1", value = "flags" },
]
"""


def test_extract_prints_the_records_of_any_image(link: Link, tmp_path: Path) -> None:
    (tmp_path / "rule.toml").write_text(RULE)
    strings = '.section .strings, "a"; .La: .asciz "one"; .Lb: .asciz "two\\n"'
    image = link(f'{CODE} .section .handlers, "a"; .quad f; .long 2, .La - .; .quad g; .long 1, .Lb - .; {strings}')
    at = nm(image)
    done = buildplug("extract", image.path, "--rule", tmp_path / "rule.toml")
    assert done.stdout.splitlines() == [
        f"handler={at['g']:#x} handler.symbol=g flags=1 text=two\\n",
        f"handler={at['f']:#x} handler.symbol=f flags=2 text=one",
    ]
    (tmp_path / "rule.toml").write_text(RULE.replace(".handlers", ".handler"))
    failed = buildplug("extract", image.path, "--rule", tmp_path / "rule.toml")
    assert (failed.returncode, "expected a section .handler, found none" in one_line(failed.stderr)) == (1, True)


def test_rules_show_says_the_members(tmp_path: Path) -> None:
    (tmp_path / "rule.toml").write_text(RULE)
    shown = buildplug("rules", "show", tmp_path / "rule.toml").stdout.splitlines()
    assert "member handler: u8, address, base zero" in shown
    assert "field name: string, handler.symbol: name of the symbol at that address" in shown


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('holds = "string"', 'holds = "sting"', "members[2]: holds: unknown holds 'sting'; did you mean 'string'?"),
        ('name = "flags", type = "u4"', 'name = "flags", type = "u3"', "members[1]: type: unknown type 'u3'"),
        ('name = "flags", type = "u4"', 'name = "flags", type = "string"', "members[1]: type: unknown type 'string'"),
        ('base = "zero"', 'base = "nothing"', "members[0]: base: unknown base 'nothing'"),
        ('name = "text"', 'name = "te-xt"', "member 'te-xt': expected a C identifier"),
        ('name = "text"', 'name = "comment"', "member 'comment': this name is taken"),
        ('name = "text"', 'name = "flags"', "expected each member once, found handler, flags, flags"),
        ('value = "flags"', 'value = "flag"', "field 'flags': unknown value 'flag'; did you mean 'flags'?"),
        ('value = "flags"', 'value = "text"', "value text does not go with type u1"),
        ('value = "handler.symbol"', 'value = "flags.symbol"', "unknown value 'flags.symbol'"),
        ('sort = ["flags"]', 'sort = ["flag"]', "sort: unknown value 'flag'; did you mean 'flags'?"),
        ('sections = [".handlers"]', "", "select: expected sections or ranges, found none; add one"),
        ('rows = "records"', 'functions = ["f"]', "members is for rows that are records, found references"),
        ('rows = "records"', 'rows = "record"', "unknown rows 'record'; did you mean 'records'?"),
        ("[table]", '[table]\nruntime = ["mine.py"]', "templates *.h.j2, *.c.j2, *.S.j2 or *.rs.j2, found 'mine.py'"),
        ("[table]", '[table]\nformat = "sites"', "expected fields for format rows, and no other"),
    ],
)  # fmt: skip
def test_rules_check_says_what_is_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "rule.toml").write_text(RULE)
    edit(tmp_path / "rule.toml", (old, new))
    failed = buildplug("rules", "check", tmp_path / "rule.toml")
    assert failed.returncode == 1
    assert said in one_line(failed.stderr)
