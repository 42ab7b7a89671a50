"""A run as a short table."""

from __future__ import annotations

from collections.abc import Iterator

from tests.endurance import load
from tests.endurance.counts import Counts
from tests.endurance.gauges import resident_kb, third
from tests.endurance.run import Compared, Found


def rows(found: Found) -> Iterator[tuple[str, str]]:
    """(what was measured, its value) in the order of the report."""
    done, judged, gauges = found.done, found.judgement, found.gauges
    for what, count, meant in (
        ("connections", done.connections, load.CONNECTIONS_PER_S),
        ("processes", done.processes, load.PROCESSES_PER_S),
        ("ports", done.ports, load.PORTS_PER_S),
    ):
        yield what, f"{count:,}, {count / done.seconds:.0f} of {meant} a second"
    yield "keys", f"{found.keys:,}, {found.sent_bytes:,} bytes drawn"
    yield (
        "looks",
        (
            f"{judged.looks:,} in {judged.seconds:.0f} s, for {judged.hidden_s:.0f} s of which no "
            f"pace was on the screen; {found.refused_looks} failed"
        ),
    )
    shown = ", ".join(
        f"{judged.count(word)} {text}"
        for word, text in (
            ("slow", "slow"),
            ("late", "late"),
            ("PAUSED", "paused"),
            ("interval", "longer interval"),
            ("hidden", "no pace on the screen"),
        )
    )
    yield "longer waits for a look", f"{len(judged.gaps)}: {shown}; {len(judged.untold)} not shown"
    thirds = [resident_kb(third(gauges, number)) / 1000 for number in range(3)]
    yield (
        "memory in MB",
        (
            f"{gauges[0].resident_kb / 1000:.1f} at the start, medians of the thirds "
            f"{', '.join(f'{each:.1f}' for each in thirds)}, "
            f"{gauges[-1].resident_kb / 1000:.1f} at the end"
        ),
    )
    yield "fds", f"{_span([g.fds for g in gauges])}, {found.files_after.total()} at the end"
    yield "threads", _span([gauge.threads for gauge in gauges])
    yield from _compared("at the stop", found.at_stop)
    yield from _compared("at rest", found.at_rest)


def text(found: Found) -> str:
    """The report, as printed at the end."""
    table = list(rows(found))
    width = max(len(name) for name, _ in table)
    return "\n".join(f"{name:{width}}  {value}" for name, value in table)


def _compared(when: str, compared: Compared) -> Iterator[tuple[str, str]]:
    yield f"by ss {when}", _counts(compared.by_ss)
    within = "" if compared.exact else ", within two counts of ss"
    count = len(compared.differences)
    yield "by sockwatch", f"the same{within}" if not count else f"{count} differences"
    yield "on the screen", compared.on_screen


def _counts(counted: Counts) -> str:
    holders = sum(map(len, counted.holders.values()))
    return (
        f"{counted.of('LISTEN')} LISTEN, {counted.of('ESTABLISHED')} ESTABLISHED, "
        f"{counted.of('TIME_WAIT'):,} TIME_WAIT, {counted.of('UNCONN', 'udp')} UDP, "
        f"{holders:,} holders"
    )


def _span(values: list[int]) -> str:
    return f"{min(values)} to {max(values)}"
