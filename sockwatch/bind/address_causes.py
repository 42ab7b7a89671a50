"""Why bind() does not take an address, by what the host's interfaces and addresses are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sockwatch.bind.address_fixes import (
    LOOPBACK,
    WAIT_FOR_DAD,
    WAIT_FOR_NETWORK,
    connect,
    in_some,
    set_up,
    take_early,
    use_ipv4,
    with_zones,
)
from sockwatch.bind.addresses import bare_ip, ipv6_matches, is_reachable
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.evidence import Explanation
from sockwatch.bind.model import BindRequest, Cause, Fix
from sockwatch.bind.not_local import explain_not_local
from sockwatch.bind.preconditions import NO_DEVICE, NO_IPV6, NO_ZONE, NOT_LOCAL, TENTATIVE
from sockwatch.model import HostFacts, Link
from sockwatch.units import verb


def explain_address(reason_id: str, request: BindRequest, facts: HostFacts) -> Explanation | None:
    """Return why the precondition `reason_id` fails; None if it is not about the address."""
    finder = _FINDERS.get(reason_id)
    return None if finder is None else finder(request, facts)


def explain_late_address(request: BindRequest, facts: HostFacts) -> Explanation | None:
    """Return why bind() failed with EADDRNOTAVAIL although the address is local by now."""
    ip = bare_ip(request)
    seen = facts.ipv4_tables if ip.version == 4 else facts.ipv6_addresses
    if ip.is_unspecified or seen is None:
        return None
    text = f"{ip} is there by now: it was added, or ceased to be tentative, after the call"
    return Cause(CauseId.ADDRESS_LATE, text), (WAIT_FOR_NETWORK, *take_early(request))


def _no_ipv6(request: BindRequest, facts: HostFacts) -> Explanation:
    if facts.ipv6_off_at_boot:
        text = "this kernel was booted with ipv6.disable=1, so there are no IPv6 sockets"
        cure = Fix("remove ipv6.disable=1 from the kernel's command line, and reboot")
    else:
        text = "this kernel has no IPv6: it was built without it, or the module is not loaded"
        cure = Fix("as root, load the module", "modprobe ipv6")
    return Cause(CauseId.NO_IPV6, text), (use_ipv4(request), cure)


def _no_device(request: BindRequest, facts: HostFacts) -> Explanation:
    names = [link.name for link in facts.links or ()]
    text = f"there is no network device {request.bound_device}, only {in_some(names)}"
    return Cause(CauseId.NO_DEVICE, text), ()


def _no_zone(request: BindRequest, facts: HostFacts) -> Explanation:
    """Name the links on which the address would work."""
    ip = bare_ip(request)
    text = f"{ip} is valid on one link only, and the call does not say on which"
    if ip.is_multicast:
        zones = [link.name for link in facts.links or () if link.is_up and link.name != LOOPBACK]
    else:
        usable = [own for own in ipv6_matches(ip, facts) if not own.tentative]
        zones = [own.device for own in usable if own.device is not None]
        if zones:
            text += f"; {in_some(zones)} {verb(len(zones), 'has')} it"
        elif facts.ipv6_addresses is not None:
            text += "; no interface has it"
    return Cause(CauseId.ZONE_MISSING, text), (with_zones(ip, zones or ["INTERFACE"]),)


def _tentative(request: BindRequest, facts: HostFacts) -> Explanation:
    """Waiting helps only while duplicate detection runs, on a link that is ready."""
    ip = bare_ip(request)
    own = [a for a in ipv6_matches(ip, facts) if is_reachable(a, request.bound_device, facts)]
    pending = [a for a in own if not a.dad_failed]
    if not pending:
        text = (
            f"{ip} on {own[0].device} is a duplicate: another host of that link has it, so the"
            " kernel does not use it here"
        )
        cure = "give one of the two hosts another address; then remove this one and add it again"
        return Cause(CauseId.ADDRESS_DUPLICATE, text), (Fix(cure),)
    links = [link for a in pending if (link := facts.link(a.device)) is not None]
    ready = next((link for link in links if link.is_ready), None)
    if links and ready is None:
        return _stuck(request, links[0])
    where = "" if ready is None else f" on {ready.name}"
    text = f"{ip}{where} is tentative: duplicate address detection has not ended"
    waits = () if ready is None else (WAIT_FOR_DAD, WAIT_FOR_NETWORK)
    return Cause(CauseId.ADDRESS_TENTATIVE, text), (*waits, *take_early(request))


def _stuck(request: BindRequest, link: Link) -> Explanation:
    """The address stays tentative: without a link duplicate detection cannot run."""
    state = "has no carrier" if link.is_up else "is down"
    text = (
        f"{bare_ip(request)} on {link.name} stays tentative: {link.name} {state}, so duplicate"
        " address detection cannot run"
    )
    return Cause(CauseId.ADDRESS_LINK_DOWN, text), (
        connect(link.name) if link.is_up else set_up(link.name),
        *take_early(request),
        Fix("have the address added without duplicate detection (nodad)"),
    )


_FINDERS: Final[Mapping[str, Callable[[BindRequest, HostFacts], Explanation]]] = {
    NO_IPV6.id: _no_ipv6,
    NO_DEVICE.id: _no_device,
    NO_ZONE.id: _no_zone,
    TENTATIVE.id: _tentative,
    NOT_LOCAL.id: explain_not_local,
}
