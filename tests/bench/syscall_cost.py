"""What `sockwatch failures` costs every system call of the host: getppid() while attached and not.

Run, as root: .venv/bin/python -m tests.bench.syscall_cost [RUNS]
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

from sockwatch.kernel.failures.tracepoint import FailureTracepoint

CALLS = 1_000_000


def ns_each(call: Callable[[], object]) -> float:
    repeated = (None,) * CALLS
    started = time.thread_time_ns()
    for _ in repeated:
        call()
    return (time.thread_time_ns() - started) / CALLS  # other programs have the processor too


def measure(call: Callable[[], object], runs: int) -> tuple[list[float], list[float]]:
    """(not attached, attached); in turns, so that both meet the same host."""
    free, attached = [], []
    for _ in range(runs):
        free.append(ns_each(call))
        with FailureTracepoint():
            attached.append(ns_each(call))
    return free, attached


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    for name, call in (
        ("getppid()", os.getppid),
        ("access() of a missing file", lambda: os.access("/missing", os.F_OK)),
    ):
        free, attached = measure(call, runs)
        without, with_it = statistics.median(free), statistics.median(attached)
        each = sorted(b - a for a, b in zip(free, attached, strict=True))
        print(
            f"{name:28} not attached {without:.0f} ns, attached {with_it:.0f} ns:"
            f" {with_it - without:.0f} ns more ({each[0]:.0f} to {each[-1]:.0f} in {runs} runs)"
        )


if __name__ == "__main__":
    main()
