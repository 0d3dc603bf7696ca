"""A short run of the fuzzer, from a fixed seed."""

from pathlib import Path

from tests.fuzz.__main__ import fuzz


def test_mutated_inputs_give_nothing_but_errors_of_one_line(tmp_path: Path) -> None:
    found = fuzz(60, tmp_path / "found", most=4000)
    assert found.faults == {}
    assert found.inputs.total() >= 100
    assert len(found.inputs) == 19
