"""Is an address one of the host's own? IPv4 asks a routing table, IPv6 the interfaces.

The rules are those of inet_addr_type_table() (net/ipv4/fib_frontend.c) and
ipv6_chk_addr_and_flags() (net/ipv6/addrconf.c).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, NamedTuple

from sockwatch.bind.model import BindRequest
from sockwatch.model import HostFacts, OwnAddress, Route, RouteTable

IP = IPv4Address | IPv6Address
LOCAL_TABLE: Final = 255  # RT_TABLE_LOCAL


class RouteFound(NamedTuple):
    """What an IPv4 lookup finds. `route` None: there is none, or no table, where all is local."""

    is_local: bool
    route: Route | None = None
    is_certain: bool = True


def find_route(ip: IPv4Address, facts: HostFacts, vrf: str | None) -> RouteFound:
    """Look the address up in the table of that VRF, None being the table local.

    `facts.ipv4_tables` must be known.
    """
    table = ipv4_table(facts, vrf)
    if table is None:
        return RouteFound(is_local=True)
    covering = covering_routes(ip, table.routes)
    if not covering:
        return RouteFound(is_local=False)
    best = covering[0]
    return RouteFound(best.is_local, best, best.network.endswith("/32") or table.is_complete)


def covering_routes(ip: IP, routes: Iterable[Route]) -> list[Route]:
    """Return the routes to the address, the closest first."""
    covering = [route for route in routes if ip in _parsed(route.network)]
    return sorted(covering, key=lambda route: -_parsed(route.network).prefixlen)


def ipv6_matches(ip: IP, facts: HostFacts) -> list[OwnAddress]:
    """Every interface's IPv6 address that is this one, tentative or not."""
    return [own for own in facts.ipv6_addresses or () if IPv6Address(own.address) == ip]


def is_reachable(own: OwnAddress, device: str | None, facts: HostFacts) -> bool:
    """Whether a socket on `device`, None being any, may have the address.

    Addresses belong to their VRF, and those of narrow scope to their interface.
    """
    if facts.vrf(own.device) != facts.vrf(device):
        return False
    ip = IPv6Address(own.address)
    narrow = ip.is_link_local or ip.is_loopback
    return not narrow or device is None or own.device == device


def bare_ip(request: BindRequest) -> IP:
    """The address as the kernel looks it up: without a zone, a v4-mapped one as IPv4."""
    ip = request.ip
    if isinstance(ip, IPv4Address):
        return ip
    return ip.ipv4_mapped or IPv6Address(int(ip))


def ipv4_table(facts: HostFacts, vrf: str | None) -> RouteTable | None:
    """Return the table that bind() asks in the VRF, None being none; None if it does not exist."""
    link = facts.link(vrf)
    number = LOCAL_TABLE if link is None else link.table
    return next((table for table in facts.ipv4_tables or () if table.id == number), None)


@lru_cache(maxsize=4096)
def _parsed(network: str) -> IPv4Network | IPv6Network:
    return ip_network(network, strict=False)
