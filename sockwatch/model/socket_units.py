"""The .socket units of systemd, and the processes that listen for them."""

from __future__ import annotations

import os.path
from ipaddress import ip_address
from typing import Final, NamedTuple

from sockwatch.model.sockets import Process, Protocol, Socket

INIT_PID: Final = 1
SYSTEMD: Final = "systemd"


class SocketUnit(NamedTuple):
    """One address of a .socket unit: systemd.socket(5).

    `device` is the interface of BindToDevice=, or the zone of the address; None means any.
    `activates` is the service that it starts; None with Accept=yes, which starts one for each
    connection. `has_failed`: systemd does not listen for it, as where its address was taken.
    `reuseport` is ReusePort=, by which units share an address. `addresses` is how many the whole
    unit has.
    """

    name: str
    protocol: Protocol
    address: str
    port: int
    device: str | None = None
    activates: str | None = None
    has_failed: bool = False
    reuseport: bool = False
    addresses: int = 1

    def is_for(self, sock: Socket) -> bool:
        """Whether this is the address of the socket."""
        return (
            (self.protocol, self.port, self.device) == (sock.protocol, sock.port, sock.device)
            # ListenStream=7007 stands for [::]:7007, and for 0.0.0.0:7007 without IPv6.
            and ip_address(self.address) == ip_address(sock.address)
        )


def is_service_manager(process: Process) -> bool:
    """Whether it is systemd: of the host, of a user, or of a container.

    A process may call itself so: its executable, where that may be read, has to be called so too.
    """
    if process.executable and os.path.basename(process.executable) != SYSTEMD:
        return False
    return process.name == SYSTEMD or (process.pid == INIT_PID and process.name.startswith(SYSTEMD))


def is_own_manager(process: Process) -> bool:
    """Whether it is one that systemctl(1) reaches from here: the first process, or a user's."""
    if not is_service_manager(process):
        return False
    if process.pid == INIT_PID:
        return True
    is_apart = process.container is not None or "pid" in (process.namespaces or ())
    return "--user" in process.arguments and not is_apart


def manager_uid(manager: Process) -> int | None:
    """The user whose units it runs; None for the system's."""
    return None if manager.pid == INIT_PID else manager.uid
