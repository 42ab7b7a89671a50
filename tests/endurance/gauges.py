"""Memory, fds and threads of a process, taken again and again, and whether they stay flat."""

from __future__ import annotations

import os
import re
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Gauge(NamedTuple):
    """What sockwatch uses at a moment."""

    at: float
    resident_kb: int
    fds: int
    threads: int


def read(pid: int, at: float) -> Gauge:
    """Read /proc of sockwatch; `at` is the time in the run, in s."""
    status = Path(f"/proc/{pid}/status").read_text()
    return Gauge(
        at,
        int(status.partition("VmRSS:")[2].split()[0]),
        len(os.listdir(f"/proc/{pid}/fd")),
        int(status.partition("Threads:")[2].split()[0]),
    )


def open_files(pid: int) -> Counter[str]:
    """What the fds of the process are, without the number that tells two of a kind apart."""
    kinds: Counter[str] = Counter()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:  # closed since
            continue
        kinds[re.sub(r"\d+", "N", target)] += 1
    return kinds


def third(gauges: Sequence[Gauge], number: int) -> Sequence[Gauge]:
    """The first, second or last one of them, by their times."""
    begin, end = gauges[0].at, gauges[-1].at
    low, high = (begin + (end - begin) * edge / 3 for edge in (number, number + 1))
    return [gauge for gauge in gauges if low <= gauge.at <= high]


def resident_kb(gauges: Sequence[Gauge]) -> int:
    """The median of the memory that the process has."""
    return int(statistics.median(gauge.resident_kb for gauge in gauges))
