"""What to do where bind() does not take an address."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from typing import Final

from sockwatch.bind.addresses import IP, bare_ip, ipv4_table
from sockwatch.bind.model import BindRequest, Fix, Step
from sockwatch.model import HostFacts, Link

LOOPBACK: Final = "lo"
MOST_NAMED: Final = 4  # interfaces or addresses in one sentence
WAIT_FOR_DAD: Final = Fix(
    "wait until duplicate address detection has ended, usually a second or two", None
)
WAIT_FOR_NETWORK: Final = Fix(
    "if that was at boot, start the server after the network: in the systemd unit, set"
    " After=network-online.target",
    step="later",
)


def take_early(request: BindRequest) -> tuple[Fix, ...]:
    """Let bind() take an address that is not there, such as one that moves between hosts."""
    v4 = bare_ip(request).version == 4
    prefix = "IP" if v4 else "IPV6"
    sysctl = "net.ipv4.ip_nonlocal_bind" if v4 else "net.ipv6.ip_nonlocal_bind"
    return (
        Fix(
            "if the address comes and goes (keepalived, a VPN), let bind() take it early;"
            " a systemd socket unit has FreeBind=yes for it",
            options=(f"{prefix}_FREEBIND",),
        ),
        Fix(
            "as root, allow it to every program of this network namespace",
            f"sysctl -w {sysctl}=1",
            in_netns=True,
        ),
        Fix(
            "in a transparent proxy, which needs CAP_NET_ADMIN",
            options=(f"{prefix}_TRANSPARENT",),
        ),
    )


def own_addresses(request: BindRequest, facts: HostFacts) -> tuple[Fix, ...]:
    """Name some of the host's addresses of that family, where the socket is."""
    vrf = facts.vrf(request.bound_device)
    own = _own_ipv4 if bare_ip(request).version == 4 else _own_ipv6
    found = list(islice(own(facts, vrf), MOST_NAMED + 1))
    return (Fix(f"bind to an address that an interface has: {in_some(found)}"),) if found else ()


def _own_ipv4(facts: HostFacts, vrf: str | None) -> Iterator[str]:
    table = ipv4_table(facts, vrf)
    for route in () if table is None else table.routes:
        address, _, length = route.network.partition("/")
        if route.kind == "local" and length == "32" and not IPv4Address(address).is_loopback:
            yield f"{address} ({route.device})"


def _own_ipv6(facts: HostFacts, vrf: str | None) -> Iterator[str]:
    for own in facts.ipv6_addresses or ():
        ip = IPv6Address(own.address)
        if own.tentative or ip.is_loopback or ip.is_link_local or facts.vrf(own.device) != vrf:
            continue
        yield f"{own.address} ({own.device})"


def in_some(names: Sequence[str]) -> str:
    """``eth0, eth1``; ``none``; three dots for those above MOST_NAMED."""
    more = ["..."] if len(names) > MOST_NAMED else []
    return ", ".join([*names[:MOST_NAMED], *more]) or "none"


def with_zones(ip: IP, zones: Sequence[str]) -> Fix:
    """Write the address with an interface on which it is valid."""
    written = " or ".join(f"{ip}%{zone}" for zone in zones[:MOST_NAMED])
    return Fix(f"write it as {written}; in C, set sin6_scope_id to the interface's index")


def use_ipv4(request: BindRequest) -> Fix:
    """Bind to the same in IPv4."""
    same = {"::": "0.0.0.0", "::1": "127.0.0.1"}.get(request.address)  # noqa: S104 - named only
    return Fix(f"bind to {same or 'an IPv4 address'} instead")


def set_up(name: str, step: Step = "or") -> Fix:
    """Set the interface up administratively."""
    command = shlex.join(["ip", "link", "set", "dev", name, "up"])
    return Fix(f"as root, bring {name} up", command, in_netns=True, step=step)


def connect(name: str) -> Fix:
    """Give the interface a carrier."""
    return Fix(f"connect {name}: plug it in, or bring up its other end, or a bridge's port")


def enable_ipv6(link: Link) -> Fix:
    """Let the interface have IPv6 addresses."""
    if not link.disable_ipv6:
        text = f"raise the MTU of {link.name} to 1280 bytes or more, and bring it down and up"
        return Fix(text)
    # With slashes: a name may have a dot, as in eth0.100.
    command = shlex.join(["sysctl", "-w", f"net/ipv6/conf/{link.name}/disable_ipv6=0"])
    return Fix(f"as root, let {link.name} have IPv6", command, in_netns=True)


def add_to_loopback(ip: IP) -> Fix:
    """Add the address to `lo`, where it is not tentative."""
    network = "127.0.0.1/8" if ip.version == 4 and ip.is_loopback else str(ip)
    command = f"ip address add {network} dev {LOOPBACK}"
    return Fix(f"as root, add the address to {LOOPBACK}", command, in_netns=True)
