"""A short run of the kills, from a fixed seed."""

from pathlib import Path

import pytest

from tests.fuzz.kills import kills

pytestmark = pytest.mark.usefixtures("heeded")


@pytest.mark.usefixtures("namespaces")
def test_kills_leave_nothing_and_the_next_run_is_right(tmp_path: Path) -> None:
    done, faults = kills(8, tmp_path / "found")
    assert faults == []
    assert done == {"build": 2, "ld": 2, "repro": 2, "kbuild": 2}
