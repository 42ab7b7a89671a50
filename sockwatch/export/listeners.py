"""What is told of each listener: the sockets on one address of one port."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from sockwatch.bind import RestartVerdict
from sockwatch.bind.generations import differ, eldest_first, members
from sockwatch.export import metrics
from sockwatch.export.model import Metric, Sample
from sockwatch.model import HostFacts, Port, Process, Socket
from sockwatch.text import NAME_LIMIT, clean

Told = tuple[Metric, Sample]
MIXED: Final = "mixed"


class Listener(NamedTuple):
    """The sockets of one address, and what is told of them.

    `queue` is how many connections wait; 0 also where that is unknown. `unit` is empty if none is
    known. `drops` is what each of the sockets has dropped, by its cookie; None if unknown.
    """

    labels: tuple[str, ...]
    queue: int
    unit: str
    drops: Mapping[int, int] | None
    told: tuple[Told, ...]


def listeners_of(
    netns: str, port: Port, facts: HostFacts, restart: RestartVerdict | None
) -> tuple[Listener, ...]:
    """One for each address of the port that somebody listens on."""
    by_address: dict[str, list[Socket]] = defaultdict(list)
    for sock in port.listeners:
        by_address[address_label(sock)].append(sock)
    return tuple(
        _listener((netns, port.protocol, address, str(port.number)), socks, facts, restart)
        for address, socks in by_address.items()
    )


def address_label(sock: Socket) -> str:
    """``127.0.0.1``, ``::``, ``fe80::1%eth0``."""
    return f"{sock.address}%{clean(sock.device, NAME_LIMIT)}" if sock.device else sock.address


def _listener(
    labels: tuple[str, ...],
    socks: list[Socket],
    facts: HostFacts,
    restart: RestartVerdict | None,
) -> Listener:
    holders = eldest_first(holder for sock in socks for holder in sock.holders)
    process = holders[0].process if holders else None
    started = [holder.process.start_time for holder in holders if holder.process is not None]
    told: list[Told] = [(metrics.LISTENER_INFO, Sample((*labels, *_info(process, socks)), 1))]

    def tell(metric: Metric, value: float | None) -> None:
        if value is not None:
            told.append((metric, Sample(labels, value)))

    tell(metrics.START_TIME, min(started, default=None))
    queued = [sock for sock in socks if sock.queue is not None and sock.backlog is not None]
    if socks[0].protocol == "tcp" and queued:
        fullest = max(queued, key=lambda sock: (sock.queue or 0) / ((sock.backlog or 0) + 1))
        tell(metrics.QUEUE, fullest.queue)
        tell(metrics.QUEUE_LIMIT, fullest.backlog)
    for metric, value in _restart(restart).items():
        tell(metric, value)
    tell(metrics.DOUBLE_START, _is_double_start(socks))
    if socks[0].protocol == "tcp":
        tell(metrics.IN_RANGE, _is_in_range(socks[0].port, facts))
    queue = max((sock.queue or 0 for sock in socks), default=0)
    drops = {sock.cookie: sock.drops for sock in socks if sock.drops is not None}
    are_known = len(drops) == len(socks)
    return Listener(labels, queue, _unit(process), drops if are_known else None, tuple(told))


def _info(process: Process | None, socks: Iterable[Socket]) -> Iterator[str]:
    socks = tuple(socks)
    yield "" if process is None else clean(process.name, NAME_LIMIT)
    yield _unit(process)
    container = process.origin.container if process is not None and process.origin else None
    yield "" if container is None else clean(container.short_name, NAME_LIMIT)
    yield "" if process is None else clean(process.user, NAME_LIMIT)
    yield _flag(sock.flags.reuseaddr for sock in socks)
    yield _flag(sock.flags.reuseport for sock in socks)


def _unit(process: Process | None) -> str:
    return "" if process is None else clean(process.unit or "", NAME_LIMIT)


def flag_label(value: bool | None) -> str:
    """``yes``, ``no`` or ``unknown``."""
    return "unknown" if value is None else "yes" if value else "no"


def _flag(values: Iterable[bool | None]) -> str:
    found = {flag_label(value) for value in values}
    return found.pop() if len(found) == 1 else "unknown" if "unknown" in found else MIXED


def _restart(restart: RestartVerdict | None) -> Mapping[Metric, float | None]:
    """Nothing where it depends: neither 0 nor 1 would be true."""
    if restart is None:
        return {}
    outcomes = {restart.bind, restart.listen or "ok"}
    if outcomes == {"ok"}:
        return {metrics.RESTART_BLOCKED: 0}
    if outcomes <= {"ok", "depends"}:
        return {}
    return {metrics.RESTART_BLOCKED: 1, metrics.RESTART_BLOCKED_SECONDS: restart.frees_in_s}


def _is_double_start(socks: list[Socket]) -> float | None:
    """None if it is unknown who shares the address."""
    if len(socks) == 1:
        return 0
    if any(sock.flags.reuseport is None or not sock.holders for sock in socks):
        return None
    started = members(sock for sock in socks if sock.flags.reuseport)
    return float(differ(started) is not None)


def _is_in_range(number: int, facts: HostFacts) -> float | None:
    """None if ip_local_port_range could not be read."""
    if facts.port_range is None:
        return None
    first, last = facts.port_range
    reserved = any(low <= number <= high for low, high in facts.reserved_ports)
    return float(first <= number <= last and not reserved)
