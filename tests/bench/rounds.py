"""Contenders in turn, so that whatever else the machine does falls on all of them alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.bench.measure import Contender, DidNotRunError, Sample

SLOW_S, SLOW_ROUNDS = 3.0, 2
VERY_SLOW_S = 12.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        found = sorted(values)
        if len(found) < 2:
            return cls(found[0], found[0], found[0])
        low, _, high = statistics.quantiles(found, n=4, method="inclusive")
        return cls(low, statistics.median(found), high)


@dataclass(slots=True)
class Series:
    """The runs of one contender; `left_out` says why there are none."""

    name: str
    samples: list[Sample] = field(default_factory=list)
    left_out: str = ""

    @property
    def wall_s(self) -> Spread:
        return Spread.of(sample.wall_s for sample in self.samples)

    @property
    def cpu_s(self) -> float:
        return statistics.median(sample.cpu_s for sample in self.samples)

    @property
    def peak_bytes(self) -> int:
        return max(sample.peak_bytes for sample in self.samples)

    def ratio(self, to: Series) -> Spread:
        """Each round's time by the other's in it; that of a slow one by the other's median."""
        if len(self.samples) != len(to.samples):
            return Spread.of(sample.wall_s / to.wall_s.median for sample in self.samples)
        pairs = zip(self.samples, to.samples, strict=True)
        return Spread.of(mine.wall_s / other.wall_s for mine, other in pairs)


@dataclass(frozen=True, slots=True)
class Table:
    """What was measured at one load, which `notes` tell more of.

    The times of all are compared with that of `base`, which is one of them.
    """

    title: str
    sockets: int
    base: str
    series: dict[str, Series]
    notes: tuple[str, ...] = ()

    def get(self, name: str) -> Series | None:
        found = self.series.get(name)
        return found if found is not None and found.samples else None

    def ratio(self, name: str, to: str) -> float | None:
        mine, other = self.get(name), self.get(to)
        return None if mine is None or other is None else mine.ratio(other).median


@dataclass(frozen=True, slots=True)
class Rounds:
    """How often each runs, and when one is too slow to be run at all."""

    count: int
    limit_s: float


def alternate(
    contenders: Sequence[Contender],
    rounds: Rounds,
    *,
    expected_s: dict[str, float],
    refresh: Callable[[], None] = lambda: None,
) -> dict[str, Series]:
    """Run all in turn, slow ones less often and after the others.

    `expected_s` tells how long a run may take; `refresh` is called before each round.
    """
    found = {each.name: Series(each.name, left_out=each.absent) for each in contenders}
    for each in contenders:
        expected = expected_s.get(each.name, 0.0)
        if not each.absent and expected > rounds.limit_s:
            found[each.name].left_out = f"one run would take about {expected:.0f} s"
    running = [each for each in contenders if not found[each.name].left_out]
    slow = [each for each in running if expected_s.get(each.name, 0.0) > SLOW_S]
    for number in range(rounds.count):
        refresh()
        for each in running:
            if each not in slow:
                _run(each, found[each.name])
        if number == 0:
            first = {each: found[each.name].samples for each in running}
            slow += [each for each, runs in first.items() if runs and runs[0].wall_s > SLOW_S]
    for number in range(SLOW_ROUNDS):
        for each in slow:
            runs = found[each.name].samples
            if len(runs) <= number and (not runs or runs[0].wall_s < VERY_SLOW_S):
                refresh()
                _run(each, found[each.name])
    return found


def _run(contender: Contender, series: Series) -> None:
    if not series.left_out:
        try:
            series.samples.append(contender.run())
        except DidNotRunError as error:
            series.samples.clear()
            series.left_out = str(error)
