"""NAT rules that take the traffic of a port: who binds it is not reached.

Packets from other hosts pass the hook prerouting, those of this network namespace the hook output,
and those to a loopback address that alone (nf_nat_inet_fn() of net/netfilter/nf_nat_core.c alters
a connection once).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_network
from typing import Final, NamedTuple, TypeAlias

from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.evidence import Explanation
from sockwatch.bind.model import BindRequest, Cause, Fix
from sockwatch.bind.preconditions import effective_v6only
from sockwatch.model import Destinations, Family, Hook, HostFacts, Redirect, Snapshot
from sockwatch.units import endpoint

MOST_RULES: Final = 4  # that are shown


class _Range(NamedTuple):
    """Addresses from the first to the last, as numbers."""

    first: int
    last: int


Addresses: TypeAlias = tuple[_Range, ...] | None


def explain_redirect(
    request: BindRequest, snapshot: Snapshot, facts: HostFacts
) -> Explanation | None:
    """That a request which succeeds gets no clients, or not all; None if nothing is seen."""
    found = redirects_of(request, snapshot, facts)
    if not found:
        return None
    text = f"you may bind, but {unreached(request, found, facts)}: {target_words(found[0])}"
    rules = tuple(dict.fromkeys(redirect.rule for redirect in found))[:MOST_RULES]
    seen = tuple(f"there is a rule of {rule}" for rule in rules)
    container = found[0].container
    if container is None:
        fix = Fix("delete the rule if nobody needs it, or choose another port")
    else:
        fix = Fix(f"stop {container.label}, which gets the port's traffic, or choose another port")
    return Cause(CauseId.REDIRECTED, text, seen), (fix,)


def redirects_of(request: BindRequest, snapshot: Snapshot, facts: HostFacts) -> list[Redirect]:
    """Those that take packets for the address in question elsewhere, the certain ones first."""
    addresses = _addresses(request, facts) if snapshot.redirects else {}
    found = [
        redirect
        for redirect in snapshot.redirects
        if redirect.protocol == request.protocol
        and redirect.family in addresses
        and (redirect.hook == "output" or not request.ip.is_loopback)
        and not _leads_back(redirect, request)
        and _share(redirect, addresses) != "none"
    ]
    return sorted(found, key=lambda redirect: redirect.is_conditional)


def unreached(
    request: BindRequest, found: Sequence[Redirect], facts: HostFacts, whom: str = "you"
) -> str:
    """``no client will reach you``, or which ones."""
    hooks: tuple[Hook, ...] = ("output",) if request.ip.is_loopback else ("prerouting", "output")
    addresses = _addresses(request, facts)
    whole = [hook for hook in hooks if _takes_all(found, addresses, hook)]
    if len(whole) == len(hooks):
        return f"no client will reach {whom}"
    if whole:
        where = "on another host" if whole == ["prerouting"] else "in this network namespace"
        return f"no client {where} will reach {whom}"
    may = "may" if all(redirect.is_conditional for redirect in found) else "will"
    return f"some clients {may} not reach {whom}"


def target_words(redirect: Redirect) -> str:
    """``DNAT to 10.88.0.2:8080 (container web2)``, ``REDIRECT to port 9000``."""
    if redirect.address is not None:
        where = endpoint(redirect.address, redirect.port)
    else:
        where = "one of several ports" if redirect.port is None else f"port {redirect.port}"
        if redirect.target == "DNAT":
            where += " of one of several addresses"
    whose = "" if redirect.container is None else f" ({redirect.container.label})"
    return f"{redirect.target} to {where}{whose}"


def _families(request: BindRequest, facts: HostFacts) -> tuple[Family, ...]:
    """Those whose packets the socket gets."""
    is_dual = request.address == "::" and not effective_v6only(request, facts)
    return ("ipv6", "ipv4") if is_dual else (request.family,)


def _leads_back(redirect: Redirect, request: BindRequest) -> bool:
    """Whether the socket gets the packets all the same."""
    if redirect.port != request.port:
        return False
    if redirect.address is None:
        return redirect.target == "REDIRECT" and request.ip.is_unspecified
    return redirect.address == request.address


def _takes_all(
    found: Iterable[Redirect], addresses: Mapping[Family, Addresses], hook: Hook
) -> bool:
    whole = {
        redirect.family
        for redirect in found
        if redirect.hook == hook
        and not redirect.is_conditional
        and _share(redirect, addresses) == "all"
    }
    return whole >= addresses.keys()


def _share(redirect: Redirect, addresses: Mapping[Family, Addresses]) -> str:
    """``all``, ``some`` or ``none`` of the addresses that the socket gets packets for."""
    if not redirect.limits:
        return "all"
    wanted = addresses[redirect.family]
    if wanted is None:
        return "some"
    limits = [(_ranges(limit, redirect.family), limit.left_out) for limit in redirect.limits]
    shares = {_share_of(address, limits) for address in wanted}
    return shares.pop() if len(shares) == 1 else "some" if shares else "none"


def _share_of(address: _Range, limits: Iterable[tuple[Sequence[_Range], bool]]) -> str:
    share = "all"
    for ranges, left_out in limits:
        # The last range that begins before the address ends, and before it begins.
        before = bisect_right(ranges, (address.last, float("inf")))
        touches = before > 0 and ranges[before - 1].last >= address.first
        around = bisect_right(ranges, (address.first, float("inf")))
        is_within = around > 0 and ranges[around - 1].last >= address.last
        if is_within if left_out else not touches:
            return "none"
        if touches and not is_within:
            share = "some"
    return share


@lru_cache(maxsize=1024)  # a rule may have thousands of networks
def _ranges(limit: Destinations, family: Family) -> tuple[_Range, ...]:
    """Those of the family, in order, and none of which touches the next."""
    joined: list[_Range] = []
    for first, last in sorted(
        _range(text) for text in limit.networks if (":" in text) is (family == "ipv6")
    ):
        if joined and first <= joined[-1].last + 1:
            joined[-1] = _Range(joined[-1].first, max(last, joined[-1].last))
        else:
            joined.append(_Range(first, last))
    return tuple(joined)


def _range(text: str) -> _Range:
    network = ip_network(text)
    return _Range(int(network.network_address), int(network.broadcast_address))


def _addresses(request: BindRequest, facts: HostFacts) -> Mapping[Family, Addresses]:
    """By family, the addresses that packets for the socket may be sent to; None if unknown."""
    return {family: _of_family(request, family, facts) for family in _families(request, facts)}


def _of_family(request: BindRequest, family: Family, facts: HostFacts) -> Addresses:
    if not request.ip.is_unspecified:
        return (_range(request.address.partition("%")[0]),)
    if family == "ipv6":
        if facts.ipv6_addresses is None:
            return None
        return tuple(_range(own.address) for own in facts.ipv6_addresses)
    if not facts.ipv4_tables:
        return None
    routes = (route for table in facts.ipv4_tables for route in table.routes)
    return tuple(_range(route.network) for route in routes if route.kind == "local")
