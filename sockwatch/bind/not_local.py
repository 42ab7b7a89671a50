"""Why an address is not one of the host's own, where the socket is."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Final

from sockwatch.bind.address_fixes import (
    LOOPBACK,
    add_to_loopback,
    enable_ipv6,
    in_some,
    own_addresses,
    set_up,
    take_early,
    use_ipv4,
    with_zones,
)
from sockwatch.bind.addresses import (
    IP,
    bare_ip,
    covering_routes,
    find_route,
    ipv4_table,
    ipv6_matches,
)
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.evidence import Explanation
from sockwatch.bind.model import BindRequest, Cause, Fix
from sockwatch.model import HostFacts, Link


def explain_not_local(request: BindRequest, facts: HostFacts) -> Explanation:
    """Return the first reason that is seen; else that no interface has the address."""
    ip = bare_ip(request)
    for finder in _IPV4 if ip.version == 4 else _IPV6:
        if (explanation := finder(ip, request, facts)) is not None:
            return explanation
    text = f"no interface here has {ip}"
    off = [link.name for link in facts.links or () if not link.has_ipv6]
    if ip.version == 6 and off:
        text += f"; IPv6 is off on {in_some(off)}"
    return Cause(CauseId.ADDRESS_NOT_LOCAL, text), (
        *own_addresses(request, facts),
        *take_early(request),
    )


def _loopback(ip: IP, request: BindRequest, facts: HostFacts) -> Explanation | None:
    """127.0.0.1 and ::1 come with `lo`, and go with it."""
    link = facts.link(LOOPBACK)
    if not ip.is_loopback or link is None or facts.vrf(request.bound_device) is not None:
        return None
    if ipv6_matches(ip, facts):
        return None
    if ip.version == 6 and not link.has_ipv6:
        text = f"IPv6 is off on lo ({_why_off(link)}), so there is no {ip}"
        up = () if link.is_up else (set_up(LOOPBACK, "then"),)
        return Cause(CauseId.IPV6_OFF, text), (use_ipv4(request), enable_ipv6(link), *up)
    if not link.is_up:
        return Cause(CauseId.LOOPBACK_DOWN, f"lo is down, so {ip} is not there"), (
            set_up(LOOPBACK),
        )
    return Cause(CauseId.ADDRESS_NOT_LOCAL, f"lo is up, but {ip} was removed from it"), (
        add_to_loopback(ip),
    )


def _other_vrf(ip: IP, request: BindRequest, facts: HostFacts) -> Explanation | None:
    """A VRF has addresses of its own."""
    mine = facts.vrf(request.bound_device)
    for vrf in dict.fromkeys([None, *(link.vrf for link in facts.links or ())]):
        if vrf == mine or not _is_local_in(ip, vrf, facts):
            continue
        if vrf is None:
            text = f"{ip} is an address outside of VRF {mine}, and the socket is bound to {mine}"
            return Cause(CauseId.ADDRESS_IN_VRF, text), (_any_device(request),)
        text = f"{ip} is an address of VRF {vrf}, and the socket is not bound to it"
        return Cause(CauseId.ADDRESS_IN_VRF, text), (
            Fix(f"bind the socket to {vrf} first (SO_BINDTODEVICE)"),
            Fix(
                "as root, start the server in the VRF",
                f"{shlex.join(['ip', 'vrf', 'exec', vrf])} PROGRAM",
                in_netns=True,
            ),
        )
    return None


def _is_local_in(ip: IP, vrf: str | None, facts: HostFacts) -> bool:
    if isinstance(ip, IPv4Address):
        found = find_route(ip, facts, vrf)
        # A missing table lets everything in, which is no evidence.
        return found.is_local and found.route is not None
    return any(facts.vrf(own.device) == vrf for own in ipv6_matches(ip, facts))


def _other_device(ip: IP, request: BindRequest, facts: HostFacts) -> Explanation | None:
    """An IPv6 address of narrow scope is its interface's alone."""
    names = [own.device for own in ipv6_matches(ip, facts) if own.device is not None]
    if not names or request.bound_device is None:
        return None
    text = f"{ip} is an address of {in_some(names)}, not of {request.bound_device}"
    cure = with_zones(ip, names) if request.needs_zone else _any_device(request)
    return Cause(CauseId.ADDRESS_OTHER_DEVICE, text), (cure,)


def _any_device(request: BindRequest) -> Fix:
    return Fix(f"do not bind the socket to {request.bound_device} (SO_BINDTODEVICE)")


def _why_off(link: Link) -> str:
    return "disable_ipv6 is 1" if link.disable_ipv6 else "its MTU is below 1280 bytes"


def _ipv6_off(ip: IP, request: BindRequest, facts: HostFacts) -> Explanation | None:
    links = [link for link in facts.links or () if link.name != LOOPBACK]
    if not links or any(link.has_ipv6 for link in links):
        return None
    text = f"IPv6 is off on every interface but lo ({_why_off(links[0])}), so none has {ip}"
    return Cause(CauseId.IPV6_OFF, text), (
        use_ipv4(request),
        Fix("let the interface have IPv6, and add the address again"),
    )


def _local_route(ip: IP, request: BindRequest, facts: HostFacts) -> Explanation | None:
    """A local route is enough for IPv4, and not for IPv6."""
    covering = covering_routes(ip, facts.ipv6_local_routes)
    if not covering:
        return None
    text = (
        f"no interface has {ip}: the local route {covering[0].network} covers it, but for IPv6"
        " bind() does not ask the routes"
    )
    return Cause(CauseId.ADDRESS_ROUTED, text), (*take_early(request), add_to_loopback(ip))


def _closer_route(ip: IP, request: BindRequest, facts: HostFacts) -> Explanation | None:
    """A local route covers the address, and a closer one of another type decides."""
    table = ipv4_table(facts, facts.vrf(request.bound_device))
    covering = covering_routes(ip, () if table is None else table.routes)
    local = next((route for route in covering if route.is_local), None)
    if local is None:
        return None
    text = (
        f"the local route {local.network} covers {ip}, but the closer route {covering[0].network}"
        " is not local"
    )
    return Cause(CauseId.ADDRESS_ROUTED, text), take_early(request)


Finder = Callable[[IP, BindRequest, HostFacts], Explanation | None]
_IPV4: Final[tuple[Finder, ...]] = (_loopback, _other_vrf, _closer_route)
_IPV6: Final[tuple[Finder, ...]] = (
    _loopback,
    _other_vrf,
    _other_device,
    _ipv6_off,
    _local_route,
)
