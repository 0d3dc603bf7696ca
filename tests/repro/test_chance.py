"""What differs although nothing was varied is called random, with its likely source."""

import time
from pathlib import Path
from typing import Literal

import pytest

from buildplug.repro.blame import compare
from tests.rebuilding import make, repro, result

NOW = int(time.time())
TIME, SEED, NOISE = "random, likely the time", "random, likely a seed", "random, likely /dev/urandom or an unset seed"


@pytest.mark.parametrize(
    ("control", "varied", "cause"),
    [
        (b"made 12:01:02", b"made 12:01:03", TIME),
        (b"at %d." % NOW, b"at %d." % (NOW + 7), TIME),
        (b"at %d." % (NOW * 10**9 + 5), b"at %d." % (NOW * 10**9 + 123456789), TIME),
        (b"\1\2\3" + NOW.to_bytes(4, "little"), b"\1\2\3" + (NOW + 2).to_bytes(4, "little"), TIME),
        (b"\1" + (NOW * 1000).to_bytes(8, "big"), b"\1" + (NOW * 1000 + 2).to_bytes(8, "big"), TIME),
        (b"at 1000000000.", b"at 1000000001.", NOISE),
        (b"seed=17", b"seed=99", SEED),
        (b"uuid 0a12", b"uuid 3b75", SEED),
        (bytes.fromhex("8f23a9c1"), bytes.fromhex("04d79e66"), NOISE),
        (b"in /tmp/cc1234/x", b"in /tmp/cc9876/x", "temporary path"),
        (b"one, two", b"two, one", "random, likely the seed of a hash's order, or a race"),
    ],
    ids=("time of day", "seconds", "nanoseconds", "u32", "u64", "long ago", "seed", "uuid", "noise", "path", "order"),
)
def test_its_likely_source_is_told(tmp_path: Path, control: bytes, varied: bytes, cause: str) -> None:
    paths = [tmp_path / "control", tmp_path / "varied"]
    for path, content in zip(paths, (control, varied), strict=True):
        path.write_bytes(content)
    assert [place.cause for place in compare(paths[0], paths[1], (), random=True)] == [cause]


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(("size", "unit"), [(4, 1), (8, 1000)])
def test_a_time_whose_bytes_all_look_like_text_is_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, unit: int, order: Literal["little", "big"]
) -> None:
    now = int.from_bytes(b"k000") if unit == 1 else 0x01A2_30303030 // unit
    monkeypatch.setattr("time.time", lambda: now)
    for name, then in (("control", now), ("varied", now + 1)):
        (tmp_path / name).write_bytes(b"\1" + (then * unit).to_bytes(size, order) + b"\1")
    assert {place.cause for place in compare(tmp_path / "control", tmp_path / "varied", (), random=True)} == {TIME}


@pytest.mark.parametrize(
    ("recipe", "cause"),
    [
        ("head -c 16 /dev/urandom > out", NOISE),
        ("python3 -c 'import random; print(random.random())' > out", NOISE),
        ("date +%s%N > out", TIME),
        ("echo seed $$(od -An -N4 -tx4 /dev/urandom) > out", SEED),
    ],
)
def test_a_build_that_is_random_is_not_blamed_on_a_variation(tmp_path: Path, recipe: str, cause: str) -> None:
    project, words = make(tmp_path / "project", recipe), ("--vary=-all,home", "--output", "out", "--", "make")
    (tmp_path / "scratch").mkdir()
    found = result(project, tmp_path / "scratch", *words)
    assert [blame["variations"] for blame in found["blame"]] == [[]]
    assert {place["cause"] for place in found["blame"][0]["places"]} == {cause}
    assert any(remedy.startswith(f"{cause}: ") for remedy in found["blame"][0]["remedies"])
    assert all(verdict["same"] for verdict in found["variations"])
    said = repro(project, tmp_path / "scratch", *words).stdout
    assert "out differs at random, from build to build: nothing was varied" in said
