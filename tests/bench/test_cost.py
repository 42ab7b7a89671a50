"""The benchmark itself: what it makes is there, runs alternate, and each goal is judged."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

import sockwatch
from tests.bench import loads
from tests.bench.churn import short_connections
from tests.bench.cost import measure, measure_all
from tests.bench.crowds import FRESH_S, TimeWaits, established, processes
from tests.bench.goals import SCREENS, Figures, goals
from tests.bench.loads import CHURN, LOADS, QUIET, SS, Load, NotBuiltError, in_use, waiting
from tests.bench.measure import Contender, DidNotRunError, Sample, program, subject
from tests.bench.proxy import PROXY_PORT, proxy
from tests.bench.report import document, table_lines, text
from tests.bench.rounds import Rounds, Series, Spread, Table, alternate
from tests.bench.screen import Watched
from tests.bench.subjects import FLOOR, FRESH, KEPT, without
from tests.support.tools import need
from tests.support.waiting import wait_until

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
        ports = sockwatch.take_snapshot(fold=False).ports
        states = [port.states for port in ports]
        assert sum(found.get("ESTABLISHED", 0) for found in states) == 100
        crowd = [port for port in ports if port.number >= 42_000]
        assert len(crowd) == 20
        pids = {holder.pid for port in crowd for holder in port.holders}
        assert len(pids) == 10
        assert {len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids} == {20}


def test_a_proxy_has_connections_in_and_out_and_peers_elsewhere(netns: None) -> None:
    need("ip")
    with proxy(40):
        assert in_use() == 81
        snapshot = sockwatch.take_snapshot()
        (port,) = snapshot.ports
        assert (port.number, port.states) == (PROXY_PORT, {"LISTEN": 1, "ESTABLISHED": 40})
        assert snapshot.clients.sockets == 40
        assert len({group.peer_address for group in snapshot.clients.groups}) == 5
    wait_until(lambda: in_use() == 0)


def test_short_connections_are_as_many_as_wanted(
    netns: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.bench.churn.LONG_ENOUGH_S", 0.0)
    monkeypatch.setattr("tests.bench.churn.ENOUGH", 0.1)  # this machine has more to do
    with short_connections(10) as check:
        wait_until(lambda: waiting() > 2)
        check()
    with short_connections(10**9) as check, pytest.raises(RuntimeError, match="only"):
        check()


def made_of(*contenders: Contender, sockets: int, build: Callable[[ExitStack], None]) -> Load:
    def built(stack: ExitStack) -> loads.Refresh:
        build(stack)
        return lambda: None

    return Load("kind", "a load", sockets, built, in_use, lambda: list(contenders), "a", "line")


def test_a_load_is_measured_in_a_namespace_of_its_own_or_left_out(netns: None) -> None:
    def some(stack: ExitStack) -> None:
        stack.enter_context(established(5))

    def none(stack: ExitStack) -> None:
        raise OSError("no more of them")

    log: list[str] = []
    whole = made_of(contender("a", 1.0, log), sockets=11, build=some)
    table = measure(whole, Rounds(2, 9.0), {})
    assert log == ["a", "a"]
    assert table.notes == ("11 to 11 sockets at the ends of the rounds",)
    assert in_use() == 0
    with pytest.raises(NotBuiltError, match="only 11 sockets of 12"):
        measure(replace(whole, sockets=12), Rounds(2, 9.0), {})
    found = Figures()
    measure_all([replace(whole, build=made_of(sockets=1, build=none).build)], Rounds(1, 9.0), found)
    assert found.left_out == ["a load: could not be built: no more of them"]
    assert not found.tables


def test_who_would_be_too_slow_is_known_from_a_smaller_load(netns: None) -> None:
    log: list[str] = []
    small = made_of(
        contender("a", 1.0, log), contender("b", 3.0, log), sockets=1, build=one_connection
    )
    large = replace(small, title="a larger load", sockets=3)
    found = Figures()
    measure_all([small, large], Rounds(1, 4.0), found)
    assert log == ["a", "b", "a"]
    assert found.tables["a larger load"].series["b"].left_out == "one run would take about 9 s"


def one_connection(stack: ExitStack) -> None:
    stack.enter_context(established(1))


def test_each_load_has_a_title_of_its_own_and_its_base_among_its_contenders() -> None:
    assert len({load.title for load in LOADS}) == len(LOADS)
    for load in LOADS:
        names = [each.name for each in load.contenders()]
        assert load.base in names
        assert len(set(names)) == len(names)


def test_contenders_run_in_processes_of_their_own(netns: None) -> None:
    for contender in (subject("take_snapshot(), no BPF", 1), program("sh -c :")):
        sample = contender.run()
        assert sample.wall_s > 0
        assert sample.peak_bytes > 1_000_000
    assert program("no-such-program").absent.startswith("not installed")
    with pytest.raises(DidNotRunError):
        program("sh -c ?").run()
    assert program("sockwatch --version").run().wall_s > 0


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


def test_what_fails_is_not_measured() -> None:
    def fail() -> Sample:
        raise DidNotRunError("it failed: 2")

    log: list[str] = []
    found = alternate(
        [contender("a", 1.0, log), Contender("b", fail)], Rounds(2, 9.0), expected_s={}
    )
    assert log == ["a", "a"]
    assert found["b"].left_out == "it failed: 2"
    lines = "\n".join(table_lines(Table("made up", 1, "a", found)))
    assert "left out: it failed: 2" in lines


def series(name: str, wall_s: float) -> Series:
    return Series(name, [Sample(wall_s, wall_s, 1)])


def test_a_goal_is_met_missed_or_not_measured() -> None:
    at = loads.title_of_time_waits(100_000, 1)
    taken = {FRESH: 0.5, without(FRESH): 0.5, SS: 1.0, FLOOR: 0.3}
    table = Table(at, 100_000, SS, {name: series(name, wall) for name, wall in taken.items()})
    large_at = loads.title_of_time_waits(1_000_000, 1)
    large = Table(large_at, 1_000_000, SS, {FRESH: series(FRESH, 5.5)})
    figures = Figures({at: table, large_at: large})
    judged = {(goal.name, goal.at, goal.unit): goal.met for goal in goals(figures)}
    assert judged[FRESH, at, "x ss -tanH"] is False
    assert judged[without(FRESH), at, "x ss -tanH"] is True
    assert judged[FRESH, at, "x floor: drain the dump"] is True
    assert judged[f"CPU per socket of {FRESH}", large_at, f"x {at}"] is True
    assert judged[f"peak memory of {FRESH}", large_at, "MB"] is True
    assert judged[KEPT, CHURN, "x ss -tlnp"] is None
    shown = "\n".join(text(figures, goals(figures)))
    assert "NOT met" in shown
    assert "not measured" in shown
    assert '"met": null' in document(figures, goals(figures), quick=True)


@pytest.mark.parametrize("slowed", [False, True])
def test_a_screen_that_slows_down_has_not_met_its_goal(*, slowed: bool) -> None:
    figures = Figures(screens={QUIET: Watched(0.01, 0, 20.0, slowed)})
    (goal,) = (goal for goal in goals(figures) if goal.at == QUIET and goal.unit[0] == "%")
    assert goal.met is not slowed
    assert ("less than a look a second" in "\n".join(text(figures, [goal]))) is slowed
    assert len(SCREENS) == 3
