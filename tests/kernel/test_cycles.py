"""The benchmarks of cycles on this machine: the sample kernel's unprivileged ops, and ways to pad a site."""

from pathlib import Path

import pytest

from bench import cycles, padding, pte_loop
from tests.conftest import tool


def test_ops_run_in_a_process_and_are_faster_when_patched(tmp_path: Path) -> None:
    found = cycles.measure(tmp_path)
    assert tuple(found) == (cycles.NATIVE, *cycles.VARIANTS)
    pte = {name: counts[cycles.WORKS.index("pte")] for name, counts in found.items()}
    assert max(pte["patched"], pte["nops"], pte["prefixes"]) < pte["unpatched"] / 2


@pytest.mark.parametrize("shape", padding.SHAPES[1:])
@pytest.mark.parametrize("code", padding.CODES)
def test_padded_code_has_the_length_of_its_site(tmp_path: Path, code: str, shape: tuple[str, int, int, int]) -> None:
    (tmp_path / "site.S").write_text(f"{padding.padded(code, shape)}\n")
    tool("gcc", "-c", "site.S", cwd=tmp_path)
    assert int(tool("size", "site.o", cwd=tmp_path).splitlines()[1].split()[0]) == shape[1]


def test_every_way_to_pad_is_measured(tmp_path: Path) -> None:
    found = padding.measure(tmp_path)
    assert len(found) == len(padding.CODES) * len(padding.AROUND)
    assert all(len(cycles) == len(padding.SHAPES) and min(cycles) > 0 for cycles in found.values())


def test_the_loop_is_measured_at_every_place(tmp_path: Path) -> None:
    found = pte_loop.measure(tmp_path)
    assert tuple(found) == tuple(pte_loop.LOOPS)
    assert all(len(cycles) == len(pte_loop.PLACES) and min(cycles) > 0 for cycles in found.values())
