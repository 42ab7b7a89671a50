from __future__ import annotations

import time

import pytest

from sockwatch.kernel.failures.wall_clock import WallClock


def test_it_is_the_time_of_day() -> None:
    clock = WallClock()
    before = time.time()
    found = clock.at(time.clock_gettime_ns(time.CLOCK_MONOTONIC))
    assert before - 0.01 < found < time.time() + 0.01


@pytest.mark.parametrize(("step_s", "followed"), [(0.005, 0.0), (-0.005, 0.0), (60.0, 60.0)])
def test_a_clock_that_was_set(
    monkeypatch: pytest.MonkeyPatch, step_s: float, followed: float
) -> None:
    """Our own delays must not turn the order of two failures around."""
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _: 10**9)
    clock = WallClock()
    first = clock.at(10**9)
    monkeypatch.setattr(time, "time_ns", lambda: 10**18 + int(step_s * 1e9))
    clock.follow()
    assert clock.at(10**9) - first == pytest.approx(followed)
