"""What is wrong with a port though everything still works."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sockwatch.bind.generations import differ, first_and_last, members
from sockwatch.model import Port, Process, Socket
from sockwatch.units import plural, spoken_duration, verb
from sockwatch.view import port_facts
from sockwatch.view.names import queue_text


def lacks_reuseaddr(port: Port) -> bool:
    """Whether a TCP listener has neither flag, so that its TIME_WAITs will block a restart."""
    return port.protocol == "tcp" and any(
        sock.flags[:2] == (False, False) for sock in port.listeners
    )


def is_double_start(port: Port) -> bool:
    """Whether the members of a SO_REUSEPORT group are not of one kind."""
    return next(_differences(port, 0.0), None) is not None


def warnings(port: Port, now: float) -> tuple[str, ...]:
    """A sentence each, the most urgent first."""
    found = [*not_accepted(port), *_differences(port, now)]
    if lacks_reuseaddr(port):
        found.append("listens without SO_REUSEADDR: TIME_WAITs will block a restart for 60 s")
    return tuple(found)


def not_accepted(port: Port) -> Iterator[str]:
    """What clients feel of a listener whose accept queue is full, or was."""
    full = [sock for sock in port.listeners if sock.is_queue_full]
    if full:
        fullest = max(full, key=port_facts.fill)
        whose = "its accept queue is full"
        if len(port.listeners) > 1:
            are = verb(len(full), "is")
            whose = f"{len(full)} of its {len(port.listeners)} accept queues {are} full"
        yield f"clients hang: {whose} ({queue_text(fullest.queue, fullest.backlog)})"
    drops = sum(sock.drops or 0 for sock in port.listeners)
    if drops:
        yield (
            f"{plural(drops, 'packet')} to it dropped: tries to connect while a queue was full,"
            " or strays"
        )


def _differences(port: Port, now: float) -> Iterator[str]:
    for group in _groups(port):
        started = members(group)
        match differ(started):
            case "program":
                yield f"different programs share this port: {_listed(started, lambda m: m.name)}"
            case "user":
                yield f"different users share this port: {_listed(started, lambda m: m.user)}"
            case "start":
                ends = first_and_last(started)
                assert ends is not None
                oldest, newest = ends
                yield (
                    f"two generations share this port: pid {oldest.pid} started"
                    f" {spoken_duration(now - oldest.start_time)} ago, pid {newest.pid}"
                    f" {spoken_duration(now - newest.start_time)} ago"
                )


def _groups(port: Port) -> Iterator[list[Socket]]:
    """Listeners with SO_REUSEPORT on the same address: the kernel spreads traffic over them."""
    found: dict[tuple[str, str | None], list[Socket]] = {}
    for sock in port.listeners:
        if sock.flags.reuseport:
            found.setdefault((sock.address, sock.device), []).append(sock)
    yield from found.values()


def _listed(processes: list[Process], said: Callable[[Process], object]) -> str:
    shown = [f"{said(member)} (pid {member.pid})" for member in processes[:3]]
    return ", ".join(shown) + (", ..." if len(processes) > len(shown) else "")
