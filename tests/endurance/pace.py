"""Whether every poll that was missed was shown: when looks ended beside what the header promised.

The header says how often the host is looked at (`every 1s`), that looks are dear
(`slow, every 3s`), that one is overdue (`late by 5s`) or that the view stands still
(`PAUSED 7s ago`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

# Up to here the program itself takes looks for regular, and a clock tick shows what is late.
REGULAR = 1.5
GRACE_S = 1.0
_PACE = re.compile(r"(?:^| )(?:(PAUSED|late|slow)\D* |every )(\d+(?:\.\d+)?)s(?: ago)? ?$")
_OVERDUE = ("PAUSED", "late")


class Shown(NamedTuple):
    """What the header has said from `since` on."""

    since: float
    word: str  # PAUSED, late, slow; empty for the plain interval, "hidden" where nothing is said
    promise_s: float


class Gap(NamedTuple):
    """A time without a look longer than the interval allows, and how it was shown."""

    begin: float
    seconds: float
    word: str  # "interval" where a longer one was chosen; empty for one that was not shown


HIDDEN = "hidden"


def shown(header: str, since: float) -> Shown:
    """From the top line of any screen. The failures and the help have no pace to show."""
    found = _PACE.search(header)
    if found is None:
        return Shown(since, HIDDEN, 0.0)
    word = found[1] or ""
    return Shown(since, word, math.inf if word in _OVERDUE else float(found[2]))


@dataclass(frozen=True, slots=True)
class Judgement:
    """The gaps between looks, and for how long the header was there to be judged."""

    gaps: tuple[Gap, ...]
    looks: int
    seconds: float
    hidden_s: float

    @property
    def untold(self) -> tuple[Gap, ...]:
        return tuple(gap for gap in self.gaps if not gap.word)

    def count(self, word: str) -> int:
        return sum(gap.word == word for gap in self.gaps)


def judge(ends: Sequence[float], headers: Sequence[Shown], interval_s: float) -> Judgement:
    """The times at which looks ended, after the begin of the whole, and the headers, in order."""
    gaps = []
    hidden = 0.0
    first = 0
    for begin, end in pairwise(ends):
        while first + 1 < len(headers) and headers[first + 1].since <= begin:
            first += 1
        unseen = sum(
            until - since
            for each, since, until in _said(headers, first, begin, end)
            if each.word == HIDDEN
        )
        hidden += unseen
        seconds = end - begin
        if seconds > interval_s * REGULAR + GRACE_S:
            # How slow a look was is shown when it is over.
            words = [each for each, *_ in _said(headers, first, begin, end + GRACE_S)]
            gaps.append(Gap(begin, seconds, _word(words, seconds, unseen, interval_s)))
    return Judgement(tuple(gaps), len(ends) - 1, ends[-1] - ends[0] if ends else 0.0, hidden)


def _said(
    headers: Sequence[Shown], first: int, begin: float, end: float
) -> Iterator[tuple[Shown, float, float]]:
    """What was said in that time, each with its part of it."""
    for place in range(first, len(headers)):
        each = headers[place]
        if each.since >= end:
            return
        until = headers[place + 1].since if place + 1 < len(headers) else math.inf
        if until > begin:
            yield each, max(begin, each.since), min(end, until)


def _word(said: Sequence[Shown], seconds: float, unseen_s: float, interval_s: float) -> str:
    """What accounts for the gap; empty where nothing does."""
    best = max(said, key=lambda each: each.promise_s, default=Shown(0.0, HIDDEN, 0.0))
    if seconds <= best.promise_s * REGULAR + GRACE_S:
        return best.word or "interval"
    if seconds - unseen_s <= max(best.promise_s, interval_s) * REGULAR + GRACE_S:
        return HIDDEN
    return ""
