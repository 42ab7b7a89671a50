"""What a look was put together from; the next one uses again what has not changed."""

from __future__ import annotations

from dataclasses import dataclass, field

from sockwatch.kernel.ports import KeptPorts
from sockwatch.kernel.sock_diag.kept_rows import KeptRows
from sockwatch.kernel.sock_diag.owners import KeptServers


@dataclass(slots=True)
class KeptParts:
    """Rows of listeners, bound and UDP sockets, these sockets with their holders, and ports.

    A port is the same object as in the look before while all that was seen on it is equal.
    """

    rows: KeptRows = field(default_factory=KeptRows)
    servers: KeptServers = field(default_factory=KeptServers)
    ports: KeptPorts = field(default_factory=KeptPorts)

    def renew(self) -> None:
        """Begin a look."""
        self.rows.renew()
        self.servers.renew()
        self.ports.renew()
