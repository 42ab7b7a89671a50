"""One sample of the host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sockwatch.model.gaps import Gap
from sockwatch.model.ports import Port
from sockwatch.model.sockets import Protocol


class Netns(NamedTuple):
    """A network namespace: its inode number, as in /proc/PID/ns/net, and its name if known."""

    inode: int
    name: str | None


class OwnAddress(NamedTuple):
    """An address or a whole network that bind() accepts as local.

    `network` is written ``127.0.0.0/8`` or ``10.1.2.3/32``; a network's broadcast address is one
    too. `device` is the interface that has it; None means any. `tentative`: duplicate address
    detection (RFC 4862) of an IPv6 address is still running, and bind() refuses it.
    """

    network: str
    device: str | None = None
    tentative: bool = False


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a bind() depends on besides the sockets. None means: could not be read."""

    uid: int | None = None
    """The caller's file-system uid."""
    net_bind_service: bool | None = None
    """Whether the caller has CAP_NET_BIND_SERVICE over the network namespace."""
    unprivileged_port_start: int | None = None
    """net.ipv4.ip_unprivileged_port_start: the first port that needs no capability."""
    ipv6: bool | None = None
    """Whether the kernel has IPv6: /proc/net/if_inet6 exists."""
    bindv6only: bool | None = None
    """net.ipv6.bindv6only: the default of IPV6_V6ONLY."""
    nonlocal_bind_ipv4: bool | None = None
    """net.ipv4.ip_nonlocal_bind: bind() accepts addresses the host does not have."""
    nonlocal_bind_ipv6: bool | None = None
    """net.ipv6.ip_nonlocal_bind."""
    port_range: tuple[int, int] | None = None
    """net.ipv4.ip_local_port_range: the ports the kernel chooses from, both ends included."""
    reserved_ports: tuple[tuple[int, int], ...] = ()
    """net.ipv4.ip_local_reserved_ports as (first, last); empty also if it could not be read."""
    autobind_reuse: bool | None = None
    """net.ipv4.ip_autobind_reuse: bind() to port 0 may share a port by SO_REUSEADDR."""
    addresses: tuple[OwnAddress, ...] | None = None
    """The host's own addresses, of the local routing table."""
    devices: frozenset[str] | None = None
    """The names of the network interfaces."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One sample of a network namespace.

    It is not a point in time: the dumps began at `time` and took `took_s` seconds. `kernel` is
    the release as in uname(2). `ports` has every port with a socket on it. `only_port` is the
    number that was asked for, if only that port was read; None means all ports.
    """

    host: str
    kernel: str
    time: float  # seconds since the epoch
    took_s: float
    netns: Netns
    ports: tuple[Port, ...]
    gaps: tuple[Gap, ...] = ()
    only_port: int | None = None
    facts: HostFacts = field(default_factory=HostFacts)
    _by_key: dict[tuple[str, int], Port] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_key", {port.key: port for port in self.ports})

    def port(self, protocol: Protocol, number: int) -> Port | None:
        """Return the port; None if no socket is on it."""
        return self._by_key.get((protocol, number))
