"""A patched kernel loses nothing as a domain of Xen either: beside one built for Xen alone, by QEMU's log of what each
executes."""

from pathlib import Path

import pytest

from bench import xen_loss


@pytest.mark.slow
@pytest.mark.parametrize("work", xen_loss.WORKS)
def test_patched_kernel_executes_what_one_for_xen_alone_does_and_nops(tmp_path: Path, work: str) -> None:
    loss = xen_loss.measure(xen_loss.kernels(tmp_path / "kernel"), work, 2)
    assert abs(loss.ratio) <= 0.001


def test_kernel_for_xen_alone_needs_no_fixup(tmp_path: Path) -> None:
    alone = xen_loss.kernels(tmp_path / "kernel").alone
    status, said = alone.boot(alone.image, "fixup=off work=mixed rounds=3")
    assert (status, "work mixed: 3 rounds, " in said) == (33, True), said
