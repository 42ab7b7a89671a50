"""A blocker, and what was seen around it: what the causes are found by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sockwatch.bind.generations import eldest_first
from sockwatch.bind.model import BindRequest, Blocker, Cause, Fix, Verdict
from sockwatch.model import Port, Process, Snapshot, Socket
from sockwatch.units import endpoint, process_name, verb

MOST_CONNECTIONS: Final = 50  # a port may have 100,000


@dataclass(frozen=True, slots=True)
class Evidence:
    """A blocker, and what was seen around it."""

    verdict: Verdict
    blocker: Blocker
    port: Port
    snapshot: Snapshot

    @property
    def request(self) -> BindRequest:
        """The request that is blocked."""
        return self.verdict.request

    @property
    def processes(self) -> list[Process]:
        """The processes that hold it, each once, in the order of eldest_first()."""
        holders = self.blocker.holders or (() if self.is_server else self.port.holders)
        return [h.process for h in eldest_first(holders) if h.process is not None]

    @property
    def is_server(self) -> bool:
        """Whether the blocker is a listener."""
        return self.blocker.owner.state in ("LISTEN", "UNCONN")

    @property
    def who(self) -> str:
        """``nginx(812)``, ``nginx(812) and 3 more``."""
        first, *more = self.processes
        name = process_name(first.name, first.pid)
        return f"{name} and {len(more)} more" if more else name

    def does(self, singular: str) -> str:
        """``nginx(812) has``, ``nginx(812) and 3 more have``."""
        return f"{self.who} {self.verb(singular)}"

    def verb(self, singular: str) -> str:
        """The verb that goes with `who`."""
        return verb(len(self.processes), singular)

    @property
    def where(self) -> str:
        """``0.0.0.0:8080``."""
        owner = self.blocker.owner
        return endpoint(owner.address, self.request.port)

    @property
    def what(self) -> str:
        """``TIME_WAIT``, ``801 TIME_WAIT``."""
        state = self.blocker.owner.state
        return f"{self.blocker.count} {state}" if self.blocker.count > 1 else state

    @property
    def without_fd(self) -> bool:
        """Whether it has no fd. That no holder was seen does not prove it."""
        owner = self.blocker.owner
        inodes = (owner.inode,) if isinstance(owner, Socket) else owner.inodes
        return owner.mini or (inodes is not None and inodes != (None,) and not any(inodes))

    @property
    def none_has_an_fd(self) -> bool:
        """Whether this holds for every socket of the port in the same state and on its address."""
        owner = self.blocker.owner
        alike = [
            g for g in self.port.groups if (g.state, g.address) == (owner.state, owner.address)
        ]
        return self.without_fd and all(g.mini or g.inodes == () for g in alike)

    def connections(self) -> list[Socket]:
        """The first few connections of the port; empty in a snapshot of all ports."""
        connections = self.port.connections or ()
        return [connections[i] for i in range(min(MOST_CONNECTIONS, len(connections)))]


Explanation = tuple[Cause, tuple[Fix, ...]]
Finder = Callable[[Evidence], Explanation | None]


def in_ephemeral_range(port: int, snapshot: Snapshot) -> bool:
    """Whether the kernel may choose the port for an outgoing connection."""
    facts = snapshot.facts
    if facts.port_range is None or not facts.port_range[0] <= port <= facts.port_range[1]:
        return False
    return not any(first <= port <= last for first, last in facts.reserved_ports)
