"""Which rows are of client ports, where the kernel does not say who has chosen a port.

That is a port of ip_local_port_range without a listener, and whose peer's port is none of that
range, or listens here; or any port without a listener, whose peer's port listens here and is none
of that range. So the port of a dead server stays a port: its peers are clients.
Ports are in network order, as they stand in the rows.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Final

from sockwatch.model import PortSet

# What a port is by itself, and what it is as a peer's.
EPHEMERAL, OTHER, LISTENS = 0, 1, 2
SERVER, CLIENT, SERVER_HERE = 0, 1, 2
IS_OWN: Final = tuple(
    not ((port == EPHEMERAL and peer != CLIENT) or (port == OTHER and peer == SERVER_HERE))
    for port in (EPHEMERAL, OTHER, LISTENS)
    for peer in (SERVER, CLIENT, SERVER_HERE)
)


class ClientPorts:
    """Tells them apart, and remembers those of clients. Listeners have to come first."""

    def __init__(self, port_range: tuple[int, int]) -> None:
        first, last = port_range
        self._ports = bytearray((3 * OTHER,)) * 65536
        self._peers = bytearray((SERVER,)) * 65536
        for port in map(socket.htons, range(first, last + 1)):
            self._ports[port] = 3 * EPHEMERAL
            self._peers[port] = CLIENT
        self._seen = bytearray(65536)

    def add_listener(self, port: int) -> None:
        """A socket listens on this port; others may too."""
        if self._ports[port] == 3 * LISTENS:
            return
        self._ports[port] = 3 * LISTENS
        self._peers[port] = SERVER if self._peers[port] == CLIENT else SERVER_HERE

    def is_client(self, port: int, peer_port: int) -> bool:
        """Whether a row with these is of a client port."""
        return not IS_OWN[self._ports[port] + self._peers[peer_port]]

    def own(self, ports: Iterable[int], peer_ports: Iterable[int]) -> list[bool]:
        """By row, False for those of client ports."""
        columns = zip(
            map(self._ports.__getitem__, ports),
            map(self._peers.__getitem__, peer_ports),
            strict=True,
        )
        return [IS_OWN[port + peer] for port, peer in columns]

    def note(self, ports: Iterable[int]) -> None:
        """These ports are clients'."""
        for port in ports:
            self._seen[port] = 1

    @property
    def ports(self) -> PortSet:
        """Those that were noted."""
        return PortSet.of(socket.ntohs(port) for port in range(65536) if self._seen[port])
