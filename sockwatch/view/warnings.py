"""What is wrong with a port though everything still works."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sockwatch.model import Port, Process, Socket
from sockwatch.units import spoken_duration
from sockwatch.view import holders

# Workers that one start makes come within seconds of each other.
ONE_START_S = 5.0


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
    found = list(_differences(port, now))
    if lacks_reuseaddr(port):
        found.append("listens without SO_REUSEADDR: TIME_WAITs will block a restart for 60 s")
    return tuple(found)


def _differences(port: Port, now: float) -> Iterator[str]:
    for group in _groups(port):
        members = _members(group)
        if len(members) < 2:
            continue
        for differ, sentence in _KINDS:
            values = {differ(member) for member in members}
            if len(values) > 1:
                yield sentence(members)
                break
        else:
            oldest = min(members, key=lambda member: member.start_time)
            newest = max(members, key=lambda member: member.start_time)
            if newest.start_time - oldest.start_time > ONE_START_S:
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


def _members(group: list[Socket]) -> list[Process]:
    """The process that stands for each socket: the holder that the others descend from."""
    found: dict[int, Process] = {}
    for sock in group:
        if sock.holders:
            process = holders.tree(sock.holders)[0].holder.process
            if process is not None:
                found.setdefault(process.pid, process)
    return list(found.values())


def _listed(members: list[Process], said: Callable[[Process], object]) -> str:
    shown = [f"{said(member)} (pid {member.pid})" for member in members[:3]]
    return ", ".join(shown) + (", ..." if len(members) > len(shown) else "")


_KINDS: tuple[tuple[Callable[[Process], object], Callable[[list[Process]], str]], ...] = (
    (
        lambda member: member.executable or member.name,
        lambda members: f"different programs share this port: {_listed(members, lambda m: m.name)}",
    ),
    (
        lambda member: member.uid,
        lambda members: f"different users share this port: {_listed(members, lambda m: m.user)}",
    ),
)
