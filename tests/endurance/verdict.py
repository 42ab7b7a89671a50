"""What is wrong with what came of a run, in lines; nothing where it held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.endurance.gauges import Gauge, resident_kb, third
from tests.endurance.program import SCREENS
from tests.endurance.run import Compared, Found

# What a look and the watches for failures have open for their time: one that is left is still
# closing while the next one opens.
FDS_IN_FLIGHT = 100
THREADS_IN_FLIGHT = 10


@dataclass(frozen=True, slots=True)
class Demands:
    """What a run has to reach. Rates are a second; memory may grow so much once it is level."""

    connections_per_s: float
    processes_per_s: float
    ports_per_s: float
    looks_per_s: float
    growth_kb: int


def faults(found: Found, demands: Demands) -> Iterator[str]:
    """What is wrong with the run, a sentence each."""
    yield from (f"the terminal showed {text!r}" for text in found.shown_faults)
    if found.refused_looks:
        yield f"{found.refused_looks} looks failed"
    if found.exit_code:
        yield f"it ended with {found.exit_code}"
    yield from (f"the terminal was left without its {mode}" for mode in found.not_restored)
    yield from (
        f"{gap.seconds:.1f} s without a look, and nothing on the screen said so"
        for gap in found.judgement.untold
    )
    yield from (f"the {name} screen was never seen" for name in SCREENS - set(+found.screens))
    if found.judgement.looks < demands.looks_per_s * found.judgement.seconds:
        yield f"only {found.judgement.looks} looks in {found.judgement.seconds:.0f} s"
    yield from _rates(found, demands)
    yield from _not_flat(found.gauges, demands.growth_kb)
    if found.files_after != found.files_before:
        yield f"open files {dict(found.files_before)} became {dict(found.files_after)}"
    yield from _miscounted("when the load stopped", found.at_stop)
    yield from _miscounted("at rest", found.at_rest)
    if not found.at_rest.exact:
        yield "the sockets never stood still, so that no exact comparison was possible"


def _rates(found: Found, demands: Demands) -> Iterator[str]:
    done = found.done
    for what, count, wanted in (
        ("connections", done.connections, demands.connections_per_s),
        ("processes", done.processes, demands.processes_per_s),
        ("ports", done.ports, demands.ports_per_s),
    ):
        if count < wanted * done.seconds:
            yield f"{count / done.seconds:.0f} {what} a second, where {wanted:g} are demanded"


def _not_flat(all_gauges: list[Gauge], growth_kb: int) -> Iterator[str]:
    middle, last = (third(all_gauges, number) for number in (1, 2))
    growth = resident_kb(last) - resident_kb(middle)
    if growth > growth_kb:
        yield f"memory grew by {growth:,} kB from the second third to the last"
    for what, of, span in (
        ("fds", lambda gauge: gauge.fds, FDS_IN_FLIGHT),
        ("threads", lambda gauge: gauge.threads, THREADS_IN_FLIGHT),
    ):
        least = [min(map(of, third(all_gauges, number))) for number in range(3)]
        if least[2] > least[1]:
            yield f"{what} never fell below {least[2]} in the last third; {least[1]} before"
        if max(map(of, all_gauges)) > least[0] + span:
            yield f"{max(map(of, all_gauges))} {what} at a time, {least[0]} at least"


def _miscounted(when: str, compared: Compared) -> Iterator[str]:
    yield from (f"{when}: {line}" for line in compared.differences)
