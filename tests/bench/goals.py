"""What sockwatch wants to cost at most, beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.bench.rounds import Spread, Table
from tests.bench.screen import Bytes, Watched

MANY, MOST, PORTS = 100_000, 1_000_000, (1, 200)
SS, SS_HOLDERS, FLOOR = "ss -tanH", "ss -tlnp", "floor: drain the dump"
WHOLE = {"with BPF": "take_snapshot()", "without": "take_snapshot(), no BPF"}
LINEAR = 1.2  # time per socket may grow by a fifth: caches do not grow with the table


@dataclass(frozen=True, slots=True)
class Goal:
    """`measured` is None where it was not; `note` says what else is to be known."""

    name: str
    at: str
    limit: float
    unit: str
    measured: float | None
    note: str = ""

    @property
    def met(self) -> bool | None:
        return None if self.measured is None else self.measured <= self.limit


@dataclass(slots=True)
class Figures:
    """Everything that one run of the benchmark has measured."""

    time_waits: dict[tuple[int, int], Table] = field(default_factory=dict)  # count, ports
    others: dict[str, Table] = field(default_factory=dict)
    start_up: dict[str, Spread] = field(default_factory=dict)
    quiet: Watched | None = None
    busy: Watched | None = None
    sent: dict[str, Bytes] = field(default_factory=dict)
    beside_htop: tuple[Watched, Watched] | None = None
    left_out: list[str] = field(default_factory=list)
    show: Callable[[Table], None] = lambda _: None  # each table, as soon as it is there

    @property
    def tables(self) -> list[Table]:
        return [*self.time_waits.values(), *self.others.values()]


def goals(found: Figures) -> list[Goal]:
    """Each goal beside what was measured."""
    return [*_looks(found), *_holders(found), *_start(found), *_screen(found)]


def _looks(found: Figures) -> Iterator[Goal]:
    at = f"{MANY:,} TIME_WAITs"
    for way, name in WHOLE.items():
        limit = 0.4 if way == "with BPF" else 0.5
        yield Goal(f"take_snapshot() {way}", at, limit, f"x {SS}", _worst(found, name, SS))
        yield Goal(f"take_snapshot() {way}", at, 2.0, "x floor", _worst(found, name, FLOOR))
    for way, name in WHOLE.items():
        yield Goal(
            f"growth per socket, {way}",
            f"{MOST:,} : {MANY:,}",
            LINEAR,
            "x",
            max(
                (g for ports in PORTS if (g := _growth(found, name, ports)) is not None),
                default=None,
            ),
        )
        peaks = [
            series.peak_bytes / 1e6
            for ports in PORTS
            if (table := found.time_waits.get((MOST, ports))) and (series := table.get(name))
        ]
        yield Goal(
            f"peak memory, {way}", f"{MOST:,} TIME_WAITs", 150, "MB", max(peaks, default=None)
        )
    alone = found.time_waits.get((MANY, PORTS[-1]))
    for way, name in WHOLE.items():
        for what in ("take_snapshot(port)", "why"):
            one = name.replace("take_snapshot()", what)
            ratio = None if alone is None else alone.ratio(one, name)
            yield Goal(f"{what} {way}", at, 0.25, "x the whole", ratio)


def _holders(found: Figures) -> Iterator[Goal]:
    table = found.others.get("holders")
    at = "1,000 processes x 50 fds"
    for (way, name), limit in zip(WHOLE.items(), (0.3, 1.2), strict=True):
        ratio = None if table is None else table.ratio(name, SS_HOLDERS)
        kept = name.replace("take_snapshot()", "look of a kept reader")
        again = None if table is None else table.ratio(kept, SS_HOLDERS)
        note = "" if again is None else f"{again:.2f} for a look of a kept reader"
        source = "with BPF" if way == "with BPF" else "by /proc"
        yield Goal(f"holders of all listeners {source}", at, limit, f"x {SS_HOLDERS}", ratio, note)


def _start(found: Figures) -> Iterator[Goal]:
    limits = {"sockwatch ports": 0.35, "sockwatch why 8080": 0.35, "sockwatch, first table": 0.7}
    for name, limit in limits.items():
        spread = found.start_up.get(name)
        measured = None if spread is None else spread.median
        yield Goal(f"{name} from a cold start", "quiet", limit, "s", measured)


def _screen(found: Figures) -> Iterator[Goal]:
    for watched, at, limit in (
        (found.quiet, "quiet", 1.5),
        (found.busy, f"{MANY:,} TIME_WAITs, 1,000 processes", 10.0),
    ):
        note = "it slowed down: less than a look a second" if watched and watched.slowed else ""
        share = watched.cpu_share * 100 if watched else None
        yield Goal("CPU of the screen at 1 Hz", at, limit, "% of a core", share, note)
    sent = found.sent.get("16 colours")
    first, per_look = (sent.first_paint, sent.per_look) if sent else (None, {})
    for what, limit, value in (
        ("first paint", 16_384, first),
        ("a tick without change", 0, per_look.get(0)),
        ("one changed row", 400, per_look.get(1)),
    ):
        yield Goal(f"bytes for {what}", "80x24, 16 colours", limit, "bytes", value)
    both = found.beside_htop
    if both is None:
        yield Goal("bytes beside htop", "80x24", 1.0, "x htop", None, "htop is not installed")
    else:
        own, other = both
        ratio = own.sent_bytes / max(1, other.sent_bytes)
        note = f"{own.sent_bytes} and {other.sent_bytes} bytes in {own.seconds:.0f} s"
        yield Goal("bytes beside htop", "80x24", 1.0, "x htop", ratio, note)


def _worst(found: Figures, name: str, to: str) -> float | None:
    """The highest ratio among the tables of many TIME_WAITs."""
    tables = [found.time_waits[MANY, p] for p in PORTS if (MANY, p) in found.time_waits]
    ratios = [ratio for table in tables if (ratio := table.ratio(name, to)) is not None]
    return max(ratios, default=None)


def _growth(found: Figures, name: str, ports: int) -> float | None:
    """How much longer a socket takes in the largest table."""
    times = []
    for count in (MANY, MOST):
        table = found.time_waits.get((count, ports))
        series = table and table.get(name)
        if not series:
            return None
        times.append(series.wall_s.median / count)
    return times[1] / times[0]
