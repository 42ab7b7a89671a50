"""One sample of the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from sockwatch.model.clients import NO_CLIENTS, Clients
from sockwatch.model.gaps import Gap
from sockwatch.model.netns import Netns
from sockwatch.model.ports import Port
from sockwatch.model.publications import Publication
from sockwatch.model.redirects import Redirect
from sockwatch.model.socket_units import SocketUnit
from sockwatch.model.sockets import Protocol, Service


class Route(NamedTuple):
    """A route by which bind() tells whether an address is local.

    `network` is written ``127.0.0.0/8`` or ``10.1.2.3/32``. `device` is its interface; None if it
    has none. `kind` is its type, as far as it matters here.
    """

    network: str
    device: str | None = None
    kind: Literal["local", "broadcast", "other"] = "local"

    @property
    def is_local(self) -> bool:
        """Whether bind() accepts its addresses."""
        return self.kind != "other"


class RouteTable(NamedTuple):
    """A routing table, reduced to what bind() needs; of equal routes the kernel takes the first.

    `id` is its number as in ip-route(8). Unless `is_complete`, a more specific route that is not
    local may be missing.
    """

    id: int
    routes: tuple[Route, ...]
    is_complete: bool = True


class OwnAddress(NamedTuple):
    """An IPv6 address of an interface.

    `tentative`: bind() refuses it, since duplicate address detection (RFC 4862) has not ended.
    `dad_failed`: it has found another host with the address.
    """

    address: str
    device: str | None
    tentative: bool = False
    dad_failed: bool = False


class Link(NamedTuple):
    """A network interface.

    `is_up` is the administrative state. `is_ready`: its operational state is up too, so that
    duplicate address detection runs. `vrf` is the VRF that it belongs to, or is; None if none.
    `table` is the id of that VRF's routing table.
    """

    name: str
    is_up: bool = True
    is_ready: bool = True
    disable_ipv6: bool = False
    mtu: int = 65536  # bytes
    vrf: str | None = None
    table: int | None = None

    @property
    def has_ipv6(self) -> bool:
        """Whether it may have IPv6 addresses: RFC 8200 asks for an MTU of at least 1280 bytes."""
        return not self.disable_ipv6 and self.mtu >= 1280


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a bind() depends on besides the sockets. None means: could not be read."""

    uid: int | None = None
    """The caller's file-system uid."""
    net_bind_service: bool | None = None
    """Whether the caller has CAP_NET_BIND_SERVICE over the network namespace."""
    capabilities_count: bool | None = None
    """Whether capabilities of the caller's user namespace count in the network namespace at all."""
    unprivileged_port_start: int | None = None
    """net.ipv4.ip_unprivileged_port_start: the first port that needs no capability."""
    ipv6: bool | None = None
    """Whether the kernel has IPv6: /proc/thread-self/net/if_inet6 exists."""
    ipv6_off_at_boot: bool | None = None
    """Whether the kernel was booted with ipv6.disable=1."""
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
    ipv4_tables: tuple[RouteTable, ...] | None = None
    """The IPv4 table local (255), and those of VRFs. A table that does not exist has no entry."""
    ipv6_addresses: tuple[OwnAddress, ...] | None = None
    """The IPv6 addresses of all interfaces."""
    ipv6_local_routes: tuple[Route, ...] = ()
    """IPv6 routes of the type local to more than one address; empty also if unknown."""
    links: tuple[Link, ...] | None = None
    """The network interfaces."""
    tcp_l3mdev_accept: bool | None = None
    """net.ipv4.tcp_l3mdev_accept: the ports of all VRFs are one table; None also without VRFs."""
    ancestors: frozenset[int] = frozenset()
    """The pids of the caller's parent, of that one's parent, and so on, as far as they show."""
    pid: int | None = None
    """The caller's."""
    service: Service | None = None
    """The systemd service that the caller runs in; its `main_pid` is not looked for."""
    login_port: int | None = None
    """The TCP port of this network namespace through which the caller has logged in, by ssh(1)."""
    own_command: tuple[str, ...] = ("sockwatch",)
    """How to start this very sockwatch: sudo(8) has a PATH of its own."""

    def link(self, name: str | None) -> Link | None:
        """Return the interface of that name; None if there is none, or the links are unknown."""
        if name is None:
            return None
        return next((link for link in self.links or () if link.name == name), None)

    def vrf(self, device: str | None) -> str | None:
        """Return the VRF that a socket bound to `device` is in; None if in none."""
        link = self.link(device)
        return None if link is None else link.vrf


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One sample of a network namespace.

    It is not a point in time: the dumps began at `time` and took `took_s` seconds. `kernel` is
    the release as in uname(2). `patch_level` is the upstream version, such as 6.1.192, where the
    kernel's package says it elsewhere; None where it does not. `ports` has every port with a socket
    on it, but for what was folded into `clients`. `only_port` is the number that was asked for, if
    only that port was read; None means all ports.
    `socket_units` has what a systemd that holds a socket of that port says of the port, by its pid;
    nothing of one that was not asked or did not answer. `publications` and `redirects` are what its
    holders serve it for and the NAT rules that take its traffic, where that was asked for.
    `on_host` is how the host is called where the snapshot was read from a document; None where it
    was taken.
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
    clients: Clients = NO_CLIENTS
    patch_level: str | None = None
    socket_units: Mapping[int, tuple[SocketUnit, ...]] = field(default_factory=dict)
    publications: tuple[Publication, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    on_host: str | None = None
    _by_key: dict[tuple[str, int], Port] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_key", {port.key: port for port in self.ports})

    def port(self, protocol: Protocol, number: int) -> Port | None:
        """Return the port; None if no socket is on it."""
        return self._by_key.get((protocol, number))

    def is_folded(self, protocol: Protocol, number: int) -> bool:
        """Whether sockets of this port have been folded into `clients`."""
        return protocol == "tcp" and number in self.clients.ports
