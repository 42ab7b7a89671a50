"""The sockets of a port beside its servers, counted by state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sockwatch.units import plural, spoken_clock

if TYPE_CHECKING:
    from sockwatch.model import Port, TimeWait


def state_parts(port: Port) -> list[str]:
    """``312 ESTABLISHED``, ``801 TIME_WAIT (first frees in 2 s, last in 58 s)`` and so on."""
    parts: list[str] = []
    if established := port.states.get("ESTABLISHED", 0):
        parts.append(f"{established} ESTABLISHED")
    if waiting := port.time_wait.count:
        parts.append(f"{waiting} TIME_WAIT{_with_flags(port.time_wait)}{_frees(port)}")
    parts += [
        f"{count} {state}"
        for state, count in port.states.items()
        if count and state not in ("LISTEN", "UNCONN", "BOUND", "ESTABLISHED", "TIME_WAIT")
    ]
    if port.unaccepted:
        parts.append(f"{port.unaccepted} not accepted yet")
    if port.orphans:
        parts.append(plural(port.orphans, "orphan"))
    if port.half_open:
        parts.append(f"{port.half_open} half-open")
    return parts


def _frees(port: Port) -> str:
    count, first, last, *_ = port.time_wait
    if first is None or last is None:
        return " (time left unknown)"
    if count == 1 or spoken_clock(first) == spoken_clock(last):
        return f" (frees in {spoken_clock(last)})"
    return f" (first frees in {spoken_clock(first)}, last in {spoken_clock(last)})"


def _with_flags(time_wait: TimeWait) -> str:
    """``: 790 with SO_REUSEADDR, 11 without``; nothing where all is unknown."""
    counts = time_wait.reuseaddr
    if counts.unknown == time_wait.count:
        return ""
    if counts.yes == time_wait.count:
        return " with SO_REUSEADDR"
    if counts.no == time_wait.count:
        return " without SO_REUSEADDR"
    parts = [f"{counts.yes} with SO_REUSEADDR", f"{counts.no} without"]
    if counts.unknown:
        parts.append(f"{counts.unknown} unknown")
    return f": {', '.join(parts)}"
