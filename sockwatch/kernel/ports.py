"""Ports put together from their owners."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from sockwatch.kept import Kept
from sockwatch.kernel.sock_diag.owners import OwnerTable, ServersByPort
from sockwatch.model import Port, Protocol, Socket, SocketGroup, TimeWait

# States in which a socket without an fd waits for accept(); in the others its fd was closed.
UNACCEPTED_STATES: Final = frozenset({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT"})


class PortParts(NamedTuple):
    """What was seen on a port; the fields are those of OwnerTable, for this port."""

    sockets: tuple[Socket, ...]
    groups: tuple[SocketGroup, ...]
    half_open: int
    connections: Sequence[Socket] | None


class KeptPorts:
    """Puts ports together; one that has not changed is that of the table before."""

    def __init__(self) -> None:
        self._ports: Kept[[Protocol, int, PortParts], Port] = Kept(make_port)
        # Those with servers and nothing else, which is nearly all of a host that has many.
        self._quiet: dict[Protocol, tuple[ServersByPort, dict[int, Port]]] = {}

    def __len__(self) -> int:
        return len(self._ports) + sum(len(ports) for _, ports in self._quiet.values())

    def renew(self) -> None:
        """Begin a look."""
        self._ports.renew()

    def of(self, protocol: Protocol, table: OwnerTable) -> Iterator[Port]:
        """Every port of the table."""
        before, quiet = self._quiet.get(protocol, ({}, {}))
        is_same = before is table.sockets and table.connections is None
        self._quiet[protocol] = (table.sockets, now := {})
        busy = table.groups.keys() | table.half_open.keys()
        for number in sorted(table.sockets.keys() | busy):
            sockets = table.sockets.get(number, ())
            port = None
            if number not in busy and (is_same or before.get(number) == sockets):
                port = quiet.get(number)
            if port is None:
                parts = PortParts(
                    sockets,
                    tuple(table.groups.get(number, ())),
                    table.half_open.get(number, 0),
                    table.connections,
                )
                port = self._ports.of((protocol, number), protocol, number, parts)
            if number not in busy and table.connections is None:
                now[number] = port
            yield port


def make_port(protocol: Protocol, number: int, parts: PortParts) -> Port:
    """Sum up what was seen on a port."""
    sockets, groups = parts.sockets, parts.groups
    states: dict[str, int] = {}  # a Counter takes four times as long to make
    for sock in sockets:
        states[sock.state] = states.get(sock.state, 0) + 1
    for group in groups:
        states[group.state] = states.get(group.state, 0) + group.count
    orphans, unaccepted = _without_fd(groups)
    held = [holder for owner in sockets or groups for holder in owner.holders]
    return Port(
        protocol=protocol,
        number=number,
        states=states,
        listeners=tuple(sock for sock in sockets if sock.state != "BOUND"),
        bound=tuple(sock for sock in sockets if sock.state == "BOUND"),
        groups=groups,
        time_wait=TimeWait.of(groups),
        orphans=orphans,
        unaccepted=unaccepted,
        half_open=parts.half_open,
        holders=tuple(dict.fromkeys(held)),
        connections=parts.connections,
    )


def _without_fd(groups: Iterable[SocketGroup]) -> tuple[int | None, int | None]:
    """(orphans, unaccepted); None where the table does not show which sockets have an fd."""
    orphans = unaccepted = 0
    for group in groups:
        if group.mini:
            continue
        if group.with_fd is None:
            return None, None
        missing = group.count - group.with_fd
        if group.state in UNACCEPTED_STATES:
            unaccepted += missing
        else:
            orphans += missing
    return orphans, unaccepted
