"""The errors that bind() returns before it tests any owner, in the kernel's order.

The order is that of __inet_bind (net/ipv4/af_inet.c) and __inet6_bind (net/ipv6/af_inet6.c). It
differs: AF_INET looks at the address first, AF_INET6 at the right to use the port.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from sockwatch.bind.addresses import bare_ip, find_route, ipv6_matches, is_reachable
from sockwatch.bind.model import BindRequest, Outcome, Rule
from sockwatch.model import Gap, GapCode, HostFacts

NO_IPV6 = Rule("no-ipv6", "The kernel has no IPv6.")
NO_DEVICE = Rule("no-device", "There is no such network device.")
NO_ZONE = Rule("no-zone", "A link-local address needs a device: fe80::1%eth0, or SO_BINDTODEVICE.")
NOT_LOCAL = Rule("not-local", "The address is not local where the socket is.")
TENTATIVE = Rule("tentative", "Duplicate address detection has not ended for the address.")
TCP_MULTICAST = Rule("tcp-multicast", "TCP cannot bind an IPv6 multicast address.")
V6ONLY_MAPPED = Rule("v6only-mapped", "An IPV6_V6ONLY socket cannot bind a v4-mapped address.")
PRIVILEGED = Rule(
    "privileged-port",
    "The port is below ip_unprivileged_port_start, and CAP_NET_BIND_SERVICE is missing.",
)
PRIVILEGED_ELSEWHERE = Rule(
    "privileged-port-elsewhere",
    "The port is below ip_unprivileged_port_start, and no capability of the program counts: the"
    " network namespace belongs to another user namespace.",
)

ADDRESSES_UNSEEN = Gap(
    GapCode.ADDRESSES_UNSEEN,
    "the host's addresses could not be read; the address is assumed to be one of them",
    "check `ip address`",
)
ROUTES_UNSEEN = Gap(
    GapCode.ROUTES_UNSEEN,
    "the routes were not read in full; none of them is assumed to make the address foreign",
    "check `ip route show table all match ADDRESS`",
)
NONLOCAL_UNSEEN = Gap(
    GapCode.NONLOCAL_UNSEEN,
    "whether bind() accepts addresses that the host does not have could not be read; it is assumed "
    "not to",
    "check `sysctl net.ipv4.ip_nonlocal_bind net.ipv6.ip_nonlocal_bind`",
)
PRIVILEGE_UNSEEN = Gap(
    GapCode.PRIVILEGE_UNSEEN,
    "whether the program may bind a port this low could not be read; it is assumed to be allowed",
    "check `sysctl net.ipv4.ip_unprivileged_port_start` and CapEff in /proc/PID/status",
)
PRIVILEGE_ASSUMED = Gap(
    GapCode.PRIVILEGE_ASSUMED,
    "root is assumed to have CAP_NET_BIND_SERVICE, other users are assumed not to",
    "check CapEff in /proc/PID/status of the program",
)


class Refusal(NamedTuple):
    """bind() fails with `outcome` whatever the owners are."""

    outcome: Outcome
    rule: Rule


def find_refusal(request: BindRequest, facts: HostFacts) -> tuple[Refusal | None, list[Gap]]:
    """Return the first error before the test, or None, and what could not be seen."""
    gaps: list[Gap] = []
    if request.family == "ipv6" and facts.ipv6 is False:
        return Refusal("EAFNOSUPPORT", NO_IPV6), gaps
    if request.device is not None and _missing(request.device, facts):
        return Refusal("ENODEV", NO_DEVICE), gaps
    if request.family == "ipv4":
        return _address(request, facts, gaps) or _privilege(request, facts, gaps), gaps
    if request.protocol == "tcp" and request.ip.is_multicast:
        return Refusal("EINVAL", TCP_MULTICAST), gaps
    return (
        _privilege(request, facts, gaps)
        or _ipv6_form(request, facts)
        or _address(request, facts, gaps),
        gaps,
    )


def effective_v6only(request: BindRequest, facts: HostFacts) -> bool:
    """IPV6_V6ONLY of the new socket: asked for, or given by the host's bindv6only."""
    return request.family == "ipv6" and (request.v6only or facts.bindv6only is True)


def _missing(device: str, facts: HostFacts) -> bool:
    return facts.links is not None and facts.link(device) is None


def _privilege(request: BindRequest, facts: HostFacts, gaps: list[Gap]) -> Refusal | None:
    if request.port == 0:
        return None
    start = facts.unprivileged_port_start
    # Without the sysctl the kernel's default tells which ports are in question at all.
    if request.port >= (1024 if start is None else start):
        return None
    capable = facts.net_bind_service
    if request.uid is not None and request.uid != facts.uid:
        capable = request.uid == 0 and facts.capabilities_count is not False
        gaps.append(PRIVILEGE_ASSUMED)
    if capable:
        return None
    if capable is None or start is None:
        gaps.append(PRIVILEGE_UNSEEN)
        return None
    if facts.capabilities_count is False:
        return Refusal("EACCES", PRIVILEGED_ELSEWHERE)
    return Refusal("EACCES", PRIVILEGED)


def _ipv6_form(request: BindRequest, facts: HostFacts) -> Refusal | None:
    ip = request.ip
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        if effective_v6only(request, facts):
            return Refusal("EINVAL", V6ONLY_MAPPED)
    elif request.needs_zone:
        if request.bound_device is None:
            return Refusal("EINVAL", NO_ZONE)
        if _missing(request.bound_device, facts):
            return Refusal("ENODEV", NO_DEVICE)
    return None


def _address(request: BindRequest, facts: HostFacts, gaps: list[Gap]) -> Refusal | None:
    ip = bare_ip(request)
    if request.freebind or ip.is_unspecified or ip.is_multicast or str(ip) == "255.255.255.255":
        return None
    if isinstance(ip, IPv4Address):
        return _ipv4_address(ip, request, facts, gaps)
    if facts.nonlocal_bind_ipv6:
        return None
    if facts.ipv6_addresses is None:
        gaps.append(ADDRESSES_UNSEEN)
        return None
    own = [a for a in ipv6_matches(ip, facts) if is_reachable(a, request.bound_device, facts)]
    if not own:
        if facts.nonlocal_bind_ipv6 is None:
            gaps.append(NONLOCAL_UNSEEN)
        return Refusal("EADDRNOTAVAIL", NOT_LOCAL)
    if all(a.tentative for a in own):
        return Refusal("EADDRNOTAVAIL", TENTATIVE)
    return None


def _ipv4_address(
    ip: IPv4Address, request: BindRequest, facts: HostFacts, gaps: list[Gap]
) -> Refusal | None:
    if facts.nonlocal_bind_ipv4:
        return None
    if facts.ipv4_tables is None:
        gaps.append(ADDRESSES_UNSEEN)
        return None
    found = find_route(ip, facts, facts.vrf(request.bound_device))
    if not found.is_certain:
        gaps.append(ROUTES_UNSEEN)
    if found.is_local:
        return None
    if facts.nonlocal_bind_ipv4 is None:
        gaps.append(NONLOCAL_UNSEEN)
    return Refusal("EADDRNOTAVAIL", NOT_LOCAL)
