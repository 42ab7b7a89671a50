"""One port in a few plain sentences; what is unknown is named, with what to do to see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sockwatch.units import plural, spoken_clock, spoken_duration
from sockwatch.view import holders, names, port_facts
from sockwatch.view.port_columns import PORT_COLUMN
from sockwatch.view.warnings import warnings

if TYPE_CHECKING:
    from sockwatch.model import Port, Snapshot, Socket, TimeWait

AS_ROOT = "run as root"
HOLDERS, FLAGS = "holder", "flag"  # parts of gap codes
_SHOWN_ENDPOINTS = 4


def summary(port: Port, snapshot: Snapshot) -> tuple[str, ...]:
    """The most important line first."""
    lines = [
        title(port),
        *warnings(port, snapshot.time),
        *_holder_lines(port, snapshot),
        *_flag_lines(port, snapshot),
        *_state_lines(port),
    ]
    return tuple(line for line in lines if line)


def title(port: Port) -> str:
    """``8080/tcp  listens on 0.0.0.0:8080``."""
    name = f"{port.number}/{port.protocol}"
    if port.listeners:
        verb = "listens on" if port.protocol == "tcp" else "receives on"
        text = f"{name}  {verb} {_endpoints(port.listeners)}"
        queue = port_facts.fullest(port)
        if queue is not None and queue.queue and queue.queue > (queue.backlog or 0):
            text += ", accept queue full"
        return f"{text}; bound {_endpoints(port.bound)}" if port.bound else text
    if port.bound:
        return f"{name}  bound to {_endpoints(port.bound)}, not listening"
    if port.groups:
        return f"{name}  no listener; local address {PORT_COLUMN['address'].text(port, 0)}"
    return f"{name}  no listener"


def _endpoints(sockets: tuple[Socket, ...]) -> str:
    counts: dict[str, int] = {}
    for socket in sockets:
        endpoint = names.local_endpoint(socket)
        counts[endpoint] = counts.get(endpoint, 0) + 1
    shown = [
        endpoint if count == 1 else f"{endpoint} x{count}"
        for endpoint, count in list(counts.items())[:_SHOWN_ENDPOINTS]
    ]
    return ", ".join(shown) + names.holders_more(len(counts) - len(shown))


def _with_remedy(text: str, snapshot: Snapshot, topic: str) -> str:
    """`text` and what would show it: the remedy of the first gap about `topic`, if it has one."""
    remedy = next((gap.remedy for gap in snapshot.gaps if topic in gap.code), AS_ROOT)
    return f"{text}; {remedy}" if remedy else text


def _holder_lines(port: Port, snapshot: Snapshot) -> list[str]:
    holder = holders.first(port)
    if holder is None:
        if port_facts.holders_unseen(port):
            return [_with_remedy("holder not visible", snapshot, HOLDERS)]
        return []
    more = names.holders_more(len(holders.distinct(port.holders)) - 1)
    process = holder.process
    if process is None:
        text = f"held by pid {holder.pid}{more}, which could not be identified"
        return [_with_remedy(text, snapshot, HOLDERS)]
    age = spoken_duration(snapshot.time - process.start_time)
    name = names.holder_name(holder)
    line = f"held by {name}{more} of user {process.user}, started {age} ago"
    return [f"{line}, {process.unit}" if process.unit else line]


def _flag_lines(port: Port, snapshot: Snapshot) -> list[str]:
    combinations = set(port_facts.flags(port))
    if not combinations:
        return []
    if len(combinations) > 1:
        letters = sorted({names.flag_letters(flags) for flags in combinations})
        return [f"reuse flags differ: {', '.join(letters)}"]
    flags = combinations.pop()
    if flags.reuseaddr is None and flags.reuseport is None:
        return [_with_remedy("reuse flags unknown", snapshot, FLAGS)]
    return [names.flag_words(flags)]


def _state_lines(port: Port) -> list[str]:
    parts = state_parts(port)
    return ["  ".join(parts)] if parts else []


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
    if count == 1:
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
