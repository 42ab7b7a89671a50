"""What is told of the ports of a network namespace besides their listeners: counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from sockwatch.bind.ephemeral import usable_ports
from sockwatch.export import metrics
from sockwatch.export.listeners import Told, address_label
from sockwatch.export.model import Sample
from sockwatch.model import Port, Snapshot, TimeWait

MOST_PAIRS: Final = 5  # of addresses that client ports lead between
OTHER: Final = "other"
USUAL_RANGE: Final = (32768, 60999)  # where ip_local_port_range is unknown


class Room:
    """How many series may still be made."""

    def __init__(self, places: int) -> None:
        self._places = places

    def take(self) -> bool:
        """Whether there is a place; it is taken then."""
        self._places -= 1
        return self._places >= 0


def is_ephemeral(port: Port, snapshot: Snapshot) -> bool:
    """Whether it may come and go with a client: without a limit, each would be a series."""
    first, last = snapshot.facts.port_range or USUAL_RANGE
    reserved = snapshot.facts.reserved_ports
    return first <= port.number <= last and not any(
        low <= port.number <= high for low, high in reserved
    )


def time_waits(
    snapshot: Snapshot, netns: str, is_server: Callable[[int], bool], room: Room
) -> Iterator[Told]:
    """By flag: of the TCP ports that are, or were lately, a server's, and of the rest together."""
    rest: Counter[bool | None] = Counter()
    tcp = [port for port in snapshot.ports if port.protocol == "tcp"]
    tcp.sort(key=lambda port: (not port.listeners, -port.time_wait.count, port.number))
    for port in tcp:
        if is_server(port.number) and room.take():
            yield from _by_flag(netns, str(port.number), *port.time_wait.reuseaddr)
        else:
            rest.update(_counts(port.time_wait))
    for group in snapshot.clients.groups:
        if group.state == "TIME_WAIT":
            rest[group.flags.reuseaddr] += group.count
    yield from _by_flag(netns, OTHER, rest[True], rest[False], rest[None])


def bound_only(snapshot: Snapshot, netns: str, room: Room) -> Iterator[Told]:
    """Sockets that are bound and do not listen."""
    counts: Counter[tuple[str, str]] = Counter()
    for port in snapshot.ports:
        for sock in port.bound:
            labels = address_label(sock), str(port.number)
            if is_ephemeral(port, snapshot) or not (labels in counts or room.take()):
                labels = ("", OTHER)
            counts[labels] += 1
    for (address, number), count in counts.items():
        yield metrics.BOUND_ONLY, Sample((netns, "tcp", address, number), count)


def ephemeral(snapshot: Snapshot, netns: str) -> Iterator[Told]:
    """How many ports clients may have, where those lead that they have, and UDP sockets there."""
    facts = snapshot.facts
    if facts.port_range is not None:
        usable = len(usable_ports(facts.port_range, facts))
        yield metrics.EPHEMERAL, Sample((netns,), usable)
    counts: Counter[tuple[str, str, str]] = Counter()
    for group in snapshot.clients.groups:
        if group.peer_address is not None and group.peer_port is not None:
            counts[group.address, group.peer_address, str(group.peer_port)] += group.count
    for pair, count in counts.most_common(MOST_PAIRS):
        yield metrics.EPHEMERAL_USED, Sample((netns, *pair), count)
    unlisted = sum(
        len(port.listeners)
        for port in snapshot.ports
        if port.protocol == "udp" and is_ephemeral(port, snapshot)
    )
    yield metrics.EPHEMERAL_UDP, Sample((netns,), unlisted)


def _counts(time_wait: TimeWait) -> dict[bool | None, int]:
    yes, no, unknown = time_wait.reuseaddr
    return {True: yes, False: no, None: unknown}


def _by_flag(netns: str, port: str, yes: int, no: int, unknown: int) -> Iterator[Told]:
    for flag, count in (("yes", yes), ("no", no), ("unknown", unknown)):
        if count or flag != "unknown":
            yield metrics.TIME_WAITS, Sample((netns, "tcp", port, flag), count)
