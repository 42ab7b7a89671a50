from __future__ import annotations

import pytest

from sockwatch import units


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (1999, "1.9k"), (9999, "9.9k"), (10_000, "10k"),
     (999_999, "999k"), (1_000_000, "1.0M"), (25_000_000, "25M")],
)  # fmt: skip
def test_short_count(count: int, text: str) -> None:
    assert units.short_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "short", "spoken"),
    [(None, "?", "?"), (-2.0, "0s", "0 s"), (0.9, "0s", "0 s"), (59.9, "59s", "59 s"),
     (60.0, "1m", "1 min"), (7199.0, "1h", "1 h"), (86_400 * 3.5, "3d", "3 d")],
)  # fmt: skip
def test_duration(seconds: float | None, short: str, spoken: str) -> None:
    assert units.duration(seconds) == short
    assert units.spoken_duration(seconds) == spoken


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "?"), (0.0, "0s"), (0.1, "1s"), (59.2, "60s")]
)
def test_clock_rounds_up(seconds: float | None, text: str) -> None:
    assert units.clock(seconds) == text


def test_plural() -> None:
    assert units.plural(1, "gap") == "1 gap"
    assert units.plural(2, "gap") == "2 gaps"
    assert units.plural(2, "process", "processes") == "2 processes"
