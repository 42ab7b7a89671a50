"""What sockwatch wants to cost at most, beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.bench.loads import (
    ANSWERS,
    CHURN,
    FDS,
    HOLDERS,
    ONE_PORT_LOADS,
    PROXY,
    QUIET,
    SPREAD,
    SS,
    SS_HOLDERS,
    title_of_connections,
    title_of_time_waits,
)
from tests.bench.namespaces import MANY_BUSY, MANY_IDLE, ONE_BUSY, Looks
from tests.bench.rounds import Series, Spread, Table
from tests.bench.screen import FIRST_TABLE, PORTS, WHY_8080, Bytes, Watched
from tests.bench.subjects import FLOOR, FRESH, KEPT, ONE_PORT, WHY, without

BUSY = f"100,000 TIME_WAITs, {HOLDERS}"
SCREEN_CONNECTIONS, TABLE_CONNECTIONS = 50_000, 100_000
CROWDED_TABLE = f"{FIRST_TABLE}, {title_of_connections(TABLE_CONNECTIONS)}"
LINEAR = 1.2  # CPU time per socket may grow by a fifth: caches do not grow with the table


@dataclass(frozen=True, slots=True)
class Goal:
    """`measured` is None where it was not; `spoilt` says why it is not met all the same."""

    name: str
    at: str
    limit: float
    unit: str
    measured: float | None
    note: str = ""
    spoilt: str = ""

    @property
    def met(self) -> bool | None:
        return None if self.measured is None else self.measured <= self.limit and not self.spoilt


@dataclass(slots=True)
class Figures:
    """Everything that one run of the benchmark has measured."""

    tables: dict[str, Table] = field(default_factory=dict)  # by the title of their load
    start_up: dict[str, Spread] = field(default_factory=dict)
    screens: dict[str, Watched] = field(default_factory=dict)  # by what was there to be seen
    sent: dict[str, Bytes] = field(default_factory=dict)
    beside_htop: tuple[Watched, Watched] | None = None
    looks: dict[str, Looks] = field(default_factory=dict)  # at many network namespaces, by load
    left_out: list[str] = field(default_factory=list)
    show: Callable[[Table], None] = lambda _: None  # each table, as soon as it is there

    def series(self, title: str, name: str) -> Series | None:
        table = self.tables.get(title)
        return None if table is None else table.get(name)

    def ratio(self, title: str, name: str, to: str) -> float | None:
        table = self.tables.get(title)
        return None if table is None else table.ratio(name, to)


class Ratio(NamedTuple):
    """Time by that of another in the same run."""

    at: str
    name: str
    limit: float
    to: str


def _ratios() -> Iterator[Ratio]:
    for ports in SPREAD:
        at = title_of_time_waits(100_000, ports)
        yield Ratio(at, KEPT, 0.3, SS)
        yield Ratio(at, FRESH, 0.4, SS)
        yield Ratio(at, without(FRESH), 0.5, SS)
        yield Ratio(at, FRESH, 2.0, FLOOR)
        yield Ratio(at, without(FRESH), 2.0, FLOOR)
    at = title_of_time_waits(100_000, SPREAD[-1])
    for name in (ONE_PORT, WHY):
        yield Ratio(at, name, 0.25, FRESH)
        yield Ratio(at, without(name), 0.25, without(FRESH))
    for count in (20_000, 100_000):
        at = title_of_connections(count)
        yield Ratio(at, KEPT, 0.6, SS)
        yield Ratio(at, FRESH, 1.2, SS)
        yield Ratio(at, without(KEPT), 1.8, SS)
        yield Ratio(at, without(FRESH), 4.0, SS)
        yield Ratio(at, ONE_PORT, 0.4, SS)
    yield Ratio(PROXY, KEPT, 0.7, SS)
    yield Ratio(HOLDERS, KEPT, 0.15, SS_HOLDERS)
    yield Ratio(HOLDERS, FRESH, 0.5, SS_HOLDERS)
    yield Ratio(CHURN, KEPT, 0.2, SS_HOLDERS)
    yield Ratio(FDS, KEPT, 0.1, SS_HOLDERS)


PEAKS_MB = (
    (title_of_connections(20_000), FRESH, 80.0),
    (title_of_connections(100_000), FRESH, 80.0),
    (title_of_connections(200_000), FRESH, 150.0),
    (title_of_connections(200_000), without(FRESH), 150.0),
    *(
        (title_of_time_waits(1_000_000, ports), name, 150.0)
        for ports in SPREAD
        for name in (FRESH, without(FRESH))
    ),
)
# Ten times, or twice, as many sockets.
GROWTH = {title_of_connections(200_000): title_of_connections(100_000)} | {
    title_of_time_waits(1_000_000, ports): title_of_time_waits(100_000, ports) for ports in SPREAD
}
ANSWER_S = 0.4  # who has the port, from a cold start
START_S = {PORTS: 0.2, WHY_8080: 0.2, FIRST_TABLE: 0.7, CROWDED_TABLE: 0.8}
SCREENS = {QUIET: 1.5, BUSY: 10.0, title_of_connections(SCREEN_CONNECTIONS): 10.0}  # % of a core

IDLE_NAMESPACES = 5.0  # % of a core
BUSY_NAMESPACES = 1.5  # times what the same sockets cost in one


def goals(found: Figures) -> list[Goal]:
    """Each goal beside what was measured."""
    return [
        *(
            Goal(each.name, each.at, each.limit, f"x {each.to}", found.ratio(*each[:2], each.to))
            for each in _ratios()
        ),
        *_size(found),
        *_start(found),
        *_screen(found),
        *_bytes(found),
        *_namespaces(found),
    ]


def _size(found: Figures) -> Iterator[Goal]:
    for at, name, limit in PEAKS_MB:
        series = found.series(at, name)
        peak = None if series is None else series.peak_bytes / 1e6
        yield Goal(f"peak memory of {name}", at, limit, "MB", peak)
    for at, smaller in GROWTH.items():
        for name in (KEPT, FRESH, without(FRESH)):
            large, small = _cpu_of_a_socket(found, at, name), _cpu_of_a_socket(found, smaller, name)
            growth = None if large is None or small is None else large / small
            yield Goal(f"CPU per socket of {name}", at, LINEAR, f"x {smaller}", growth)


def _cpu_of_a_socket(found: Figures, at: str, name: str) -> float | None:
    series = found.series(at, name)
    return None if series is None else series.cpu_s / found.tables[at].sockets


def _start(found: Figures) -> Iterator[Goal]:
    for name, limit in START_S.items():
        spread = found.start_up.get(name)
        median = None if spread is None else spread.median
        yield Goal(name, "from a cold start", limit, "s", median)

    for at in ONE_PORT_LOADS:
        for name in ANSWERS:
            series = found.series(at, name)
            median = None if series is None else series.wall_s.median
            yield Goal(name, at, ANSWER_S, "s", median)


def _screen(found: Figures) -> Iterator[Goal]:
    for at, limit in SCREENS.items():
        watched = found.screens.get(at)
        share = None if watched is None else watched.cpu_share * 100
        spoilt = "less than a look a second" if watched and watched.slowed else ""
        yield Goal("CPU of the screen at 1 Hz", at, limit, "% of a core", share, spoilt=spoilt)


def _bytes(found: Figures) -> Iterator[Goal]:
    sent = found.sent.get("16 colours")
    first, per_look = (sent.first_paint, sent.per_look) if sent else (None, {})
    for what, limit, value in (
        ("first paint", 16_384, first),
        ("a tick without change", 0, per_look.get(0)),
        ("one changed row", 400, per_look.get(1)),
    ):
        yield Goal(f"bytes for {what}", "80x24, 16 colours", limit, "bytes", value)
    ratio, note = None, ""
    if found.beside_htop:
        own, other = found.beside_htop
        ratio = own.sent_bytes / max(1, other.sent_bytes)
        note = f"{own.sent_bytes} and {other.sent_bytes} bytes in {own.seconds:.0f} s"
    yield Goal("bytes beside htop", "80x24", 1.0, "x htop", ratio, note)


def _namespaces(found: Figures) -> Iterator[Goal]:
    idle, busy, one = (found.looks.get(at) for at in (MANY_IDLE, MANY_BUSY, ONE_BUSY))
    share = None if idle is None else idle.cpu_share * 100
    yield Goal("CPU of the survey at 1 Hz", MANY_IDLE, IDLE_NAMESPACES, "% of a core", share)
    ratio, note = None, ""
    if busy is not None and one is not None:
        ratio = busy.cpu_of_a_look_s / one.cpu_of_a_look_s
        note = f"{busy.sockets:,} and {one.sockets:,} sockets"
    yield Goal(
        "CPU of the survey at 1 Hz", MANY_BUSY, BUSY_NAMESPACES, f"x {ONE_BUSY}", ratio, note
    )
