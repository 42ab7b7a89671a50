"""Client ports: sources of this host's connections to elsewhere, folded by destination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from sockwatch.model.port_set import NO_PORTS, PortSet
from sockwatch.model.sockets import UNKNOWN_FLAGS, Family, Holder, Protocol, ReuseFlags


class ClientGroup(NamedTuple):
    """Sockets on client ports that are alike in all but their port.

    Fields that SocketGroup has too mean the same. `peer_address` and `peer_port` are where they
    lead; None where there are too many destinations to count each. `lowest_port` and
    `highest_port` are the first and the last of their own ports.
    """

    protocol: Protocol
    family: Family
    state: str
    mini: bool
    address: str
    device: str | None
    peer_address: str | None
    peer_port: int | None
    uid: int | None
    count: int  # type: ignore[assignment] # nobody wants tuple.count here
    with_fd: int | None
    lowest_port: int
    highest_port: int
    first_frees_in_s: float | None
    last_frees_in_s: float | None
    flags: ReuseFlags = UNKNOWN_FLAGS
    holders: tuple[Holder, ...] = ()


@dataclass(frozen=True, slots=True)
class Clients:
    """The sockets that a snapshot of all ports has folded; all of them are TCP's.

    `ports` are those with such a socket. A port can have other sockets too, which are among the
    snapshot's ports. `told_apart` is whether client ports were told from others at all; where they
    were not, they are among the snapshot's ports.
    """

    groups: tuple[ClientGroup, ...] = ()
    ports: PortSet = NO_PORTS
    told_apart: bool = False

    @property
    def sockets(self) -> int:
        """How many sockets are folded."""
        return sum(group.count for group in self.groups)


NO_CLIENTS: Final = Clients()
