"""The demo: which architectures it shows, and how sites look whose branches only a form describes."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from buildplug.config.project import Config, read
from sample_kernel import demo
from tests.samples import built, copy_sample


def said_without(missing: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[str]]:
    """The architectures that are shown, and the lines that are printed, where a program is not installed."""
    shown: list[str] = []

    def compare(console: Console, config: Config) -> None:
        shown.append(config.arch.name)

    monkeypatch.setattr(demo, "compare", compare)
    monkeypatch.setattr("shutil.which", lambda program: None if program == missing else f"/usr/bin/{program}")
    output = io.StringIO()
    demo.main(Console(file=output, width=160))
    return shown, output.getvalue().splitlines()[1:]


def test_every_architecture_of_the_sample_kernel_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said_without("", monkeypatch) == (["x86_64", "i386", "riscv64", "aarch64"], [])


@pytest.mark.parametrize("missing", ["riscv64-linux-gnu-gcc", "riscv64-linux-gnu-ld", "qemu-system-riscv64"])
def test_an_architecture_without_tools_is_left_out_in_a_line(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = f"riscv64: left out, as there is no {missing}"
    assert said_without(missing, monkeypatch) == (["x86_64", "i386", "aarch64"], [line])


def test_calls_of_riscv64_are_shown_with_their_targets(tmp_path: Path) -> None:
    built(copy_sample(tmp_path / "kernel"), "--arch", "riscv64")
    output = io.StringIO()
    demo.compare(Console(file=output, width=200), read(tmp_path / "kernel", arch="riscv64"))
    assert "guest memory equals the reference" in output.getvalue()
    row = r"^ call +call pv_irq_disable +csrci sstatus, 2; nop +csrci sstatus, 2; nop +call shim_irq_disable *$"
    assert re.search(row, output.getvalue(), re.M)
