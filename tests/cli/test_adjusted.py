"""A table whose rule the project adjusts: built, built again after a change, and verified."""

import json
from pathlib import Path

import pytest

from tests.samples import buildplug, built, copy_sample, edit, one_line


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample kernel with a table of functions, without those whose names begin with pv_."""
    kernel = copy_sample(tmp_path_factory.mktemp("adjusted") / "kernel")
    edit(kernel / "buildplug.toml", ('rule = "ksyms"', 'rule = "ksyms"\nexclude = ["pv_*", "__bp_*"]'))
    built(kernel)
    return kernel


def verify(kernel: Path, *words: str | Path) -> tuple[int, str]:
    done = buildplug("verify", kernel / "build" / "vmlinux.draft", kernel / "build" / "vmlinux", *words)
    return done.returncode, done.stderr


def test_verify_takes_the_rules_as_a_configuration_adjusts_them(kernel: Path) -> None:
    assert verify(kernel, "--config", kernel) == (0, "")


def test_verify_without_the_configuration_says_what_differs(kernel: Path) -> None:
    status, error = verify(kernel)
    assert status == 1
    assert "table bp_ksyms" in one_line(error)


def test_a_table_is_made_anew_when_its_rule_is_adjusted_otherwise(kernel: Path, tmp_path: Path) -> None:
    copy = copy_sample(tmp_path / "kernel")
    rows = [built(copy)["tables"]["ksyms"]["rows"]]
    edit(copy / "buildplug.toml", ('rule = "ksyms"', 'rule = "ksyms"\nexclude = ["pv_*", "__bp_*"]'))
    rows.append(built(copy)["tables"]["ksyms"]["rows"])
    assert rows[0] > rows[1]
    assert (copy / "build" / "vmlinux").read_bytes() == (kernel / "build" / "vmlinux").read_bytes()


def test_extract_prints_the_symbols_that_a_rule_selects(kernel: Path) -> None:
    done = buildplug("extract", kernel / "build" / "vmlinux", "--rule", "functions", "--json")
    rows = json.loads(done.stdout)["rows"]
    assert {"address", "entry", "name", "size", "letter", "zero"} == set(rows[0])
    assert "pv_irq_enable" in {row["name"] for row in rows}
