"""Owners of a port that are bound to an address the host does not have."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from sockwatch.bind.evidence import Evidence, Explanation
from sockwatch.bind.model import BindRequest
from sockwatch.bind.preconditions import NOT_LOCAL, find_refusal
from sockwatch.model import HostFacts, Socket


def with_foreign_address(
    explanation: Explanation, evidence: Evidence, facts: HostFacts
) -> Explanation:
    """Return the explanation, and how the owner has an address that no interface has."""
    owner = evidence.blocker.owner
    if not isinstance(owner, Socket) or not _is_foreign(owner, facts):
        return explanation
    how = {
        True: "it was bound by IP_FREEBIND or IP_TRANSPARENT",
        False: "it was bound by ip_nonlocal_bind, or before the address was removed",
        None: "how it was bound could not be read",
    }[owner.freebind]
    cause, todo = explanation
    text = f"{cause.text}; no interface here has {owner.address}: {how}"
    return cause._replace(text=text), todo


def _is_foreign(owner: Socket, facts: HostFacts) -> bool:
    ip = ip_address(owner.address)
    if ip.is_unspecified or ip.is_link_local:
        return False
    request = BindRequest(owner.protocol, owner.address, 0, device=owner.device)
    unaided = replace(facts, nonlocal_bind_ipv4=False, nonlocal_bind_ipv6=False)
    refusal, _ = find_refusal(request, unaided)
    return refusal is not None and refusal.rule == NOT_LOCAL
