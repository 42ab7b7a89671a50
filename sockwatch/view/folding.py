"""Failures of one program on one address as one line with a count and a rate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from sockwatch.bind.failure import ExplainedFailure
from sockwatch.units import spoken_duration
from sockwatch.view.failures import endpoint, kind, program

MOST_FOLDS = 500  # the oldest go: a screen may stay open for weeks


class FoldKey(NamedTuple):
    """What makes two failures the same for a reader."""

    program: str
    protocol: str | None
    endpoint: str
    netns_inode: int | None


@dataclass(frozen=True, slots=True)
class Fold:
    """Failures that are alike; `last` is the latest, with its explanation."""

    key: FoldKey
    count: int
    first_time: float
    last: ExplainedFailure

    @property
    def span_s(self) -> float:
        """From the first to the last."""
        return max(0.0, self.last.failure.time - self.first_time)

    @property
    def every_s(self) -> float | None:
        """The mean time from one to the next; None for a single one."""
        return self.span_s / (self.count - 1) if self.count > 1 else None

    @property
    def text(self) -> str:
        """``nginx 0.0.0.0:80, 43 times in 86 s, every 2.0 s``."""
        what = f"{self.key.program} {self.key.endpoint}"
        if self.every_s is None:
            return f"{what}, once"
        if not self.every_s:
            return f"{what}, {self.count} times at once"
        return f"{what}, {self.count} times in {_span(self.span_s)}, every {rate(self.every_s)}"


def key_of(explained: ExplainedFailure) -> FoldKey:
    """By program and address, in whatever process."""
    failure = explained.failure
    return FoldKey(program(failure), kind(failure), endpoint(failure), failure.netns_inode)


def fold(
    folds: Iterable[Fold], failures: Iterable[ExplainedFailure], most: int = MOST_FOLDS
) -> tuple[Fold, ...]:
    """The folds with the failures added, the one that failed last first; at most so many."""
    found = {each.key: each for each in reversed(tuple(folds))}
    for explained in failures:
        key, at = key_of(explained), explained.failure.time
        count = 1 + explained.failure.repeats
        before = found.pop(key, None)  # to the end, since it is the latest now
        if before is None:
            found[key] = Fold(key, count, at, explained)
        else:
            first = min(before.first_time, at)
            found[key] = replace(
                before, count=before.count + count, first_time=first, last=explained
            )
    return tuple(reversed(found.values()))[:most]


def _span(seconds: float) -> str:
    """From one to two minutes in seconds too, as people count the restarts of a unit."""
    return f"{seconds:.0f} s" if 1 <= seconds < 120 else rate(seconds)


def rate(seconds: float) -> str:
    """A mean time between two, in at most 7 characters: ``2.0 s``, ``0.131 s``, ``12 ms``."""
    if seconds >= 120:
        return spoken_duration(seconds)
    if seconds >= 1:
        return f"{seconds:.1f} s"
    if seconds >= 0.1:
        return f"{seconds:.3g} s"
    if seconds >= 0.001:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds * 1e6:.0f} us" if seconds else "0 s"
