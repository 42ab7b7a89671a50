"""The benchmark itself: what it makes is there, runs alternate, and each goal is judged."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

import sockwatch
from tests.bench.cost import waiting
from tests.bench.crowds import FRESH_S, TimeWaits, established, processes
from tests.bench.goals import FLOOR, MANY, SS, Figures, goals
from tests.bench.measure import Contender, Sample, program, subject
from tests.bench.report import document, text
from tests.bench.rounds import Rounds, Series, Spread, Table, alternate

SLOW_S = 4.0


@pytest.mark.parametrize("ports", [1, 3])
def test_time_waits_are_as_many_as_wanted_also_when_made_anew(netns: None, ports: int) -> None:
    with ExitStack() as stack:
        made = TimeWaits(2_000, ports, stack)
        made.refresh()
        assert waiting() == 2_000
        made._oldest_at -= FRESH_S
        made.refresh()
        assert waiting() == 2_000
        found = sockwatch.take_snapshot().ports
        assert sum(port.time_wait.count > 0 for port in found) == ports


def test_crowds_hold_what_they_should(netns: None) -> None:
    with established(50), processes(10, 20, 20):
        ports = sockwatch.take_snapshot().ports
        states = [port.states for port in ports]
        assert sum(found.get("ESTABLISHED", 0) for found in states) == 100
        crowd = [port for port in ports if port.number >= 42_000]
        assert len(crowd) == 20
        pids = {holder.pid for port in crowd for holder in port.holders}
        assert len(pids) == 10
        assert {len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids} == {20}


def test_contenders_run_in_processes_of_their_own(netns: None) -> None:
    for contender in (subject("take_snapshot(), no BPF", 1), program("sh -c :")):
        sample = contender.run()
        assert sample.wall_s > 0
        assert sample.peak_bytes > 1_000_000
    assert program("no-such-program").absent == "not installed"


def contender(name: str, wall_s: float, log: list[str]) -> Contender:
    def run() -> Sample:
        log.append(name)
        return Sample(wall_s, wall_s, 1)

    return Contender(name, run)


def test_slow_ones_run_less_often_and_last() -> None:
    log: list[str] = []
    names = [contender("a", 1.0, log), contender("slow", SLOW_S, log), contender("b", 2.0, log)]
    names.append(contender("endless", 1.0, log))
    found = alternate(names, Rounds(3, 60.0), expected_s={"endless": 99.0})
    assert log == ["a", "slow", "b", "a", "b", "a", "b", "slow"]
    assert found["endless"].left_out == "one run would take about 99 s"
    assert found["b"].ratio(found["a"]) == Spread(2.0, 2.0, 2.0)
    assert found["slow"].ratio(found["a"]).median == SLOW_S


def test_a_goal_is_met_missed_or_not_measured() -> None:
    def series(name: str, wall_s: float) -> Series:
        return Series(name, [Sample(wall_s, wall_s, 1)])

    taken = {"take_snapshot()": 0.5, "take_snapshot(), no BPF": 0.5, SS: 1.0, FLOOR: 0.3}
    table = Table("made up", MANY, {name: series(name, wall) for name, wall in taken.items()})
    figures = Figures(time_waits={(MANY, 1): table})
    judged = {(goal.name, goal.unit): goal.met for goal in goals(figures)}
    assert judged["take_snapshot() with BPF", "x ss -tanH"] is False
    assert judged["take_snapshot() without", "x ss -tanH"] is True
    assert judged["take_snapshot() with BPF", "x floor"] is True
    assert judged["peak memory, with BPF", "MB"] is None
    shown = "\n".join(text(figures, goals(figures)))
    assert "NOT met" in shown
    assert "not measured" in shown
    assert '"met": null' in document(figures, goals(figures), quick=True)
