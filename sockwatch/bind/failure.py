"""Why a call failed: the verdict for exactly that request, on what was there right afterwards.

The kernel has answered already, so the verdict is put to the test: where it says something else,
the failure is not explained, and something was not seen or a rule is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

from sockwatch.bind.model import BindRequest, Blocker, Cause, Fix, Verdict
from sockwatch.bind.unix import explain_name
from sockwatch.bind.verdict import explain_bind
from sockwatch.failure import Failure, UnixLook, UnixOwner
from sockwatch.model import Gap, HostFacts, Netns, Port, Protocol, Snapshot, SockwatchError

NOT_JUDGED = Gap(
    "not-judged",
    "only failures of TCP, UDP and unix sockets are explained",
    "nothing would show more",
)
BOUND_SINCE = Gap(
    "bound-since",
    "the same socket has the port by now: what was in its way has gone",
    "nothing would show more",
)
ADDRESS_UNSEEN = Gap(
    "address-unseen",
    "which address and port the call was about could not be read",
    "nothing would show more: the process has gone, or its memory was not there",
)


@dataclass(frozen=True, slots=True)
class ExplainedFailure:
    """A failure, and what was found right after it.

    `explained`: the verdict says what the kernel said. `request` is None where the call could not
    be made out. `looked_after_s` is how long after the failure the look ended.
    """

    failure: Failure
    netns: Netns | None = None
    request: BindRequest | None = None
    verdict: Verdict | None = None
    unix_owners: tuple[UnixOwner, ...] = ()
    cause: Cause | None = None
    fixes: tuple[Fix, ...] = ()
    explained: bool = False
    gaps: tuple[Gap, ...] = ()
    looked_after_s: float | None = None

    @property
    def blockers(self) -> tuple[Blocker, ...]:
        return self.verdict.blockers if self.verdict is not None else ()


def unexplained(failure: Failure, *gaps: Gap) -> ExplainedFailure:
    """A failure that could not be looked at."""
    netns = None if failure.netns_inode is None else Netns(failure.netns_inode, None)
    return ExplainedFailure(failure, netns, gaps=(*failure.gaps, *gaps))


def explain_failure(
    failure: Failure, snapshot: Snapshot, device_names: Mapping[int, str]
) -> ExplainedFailure:
    """The verdict for the failed call of a TCP or UDP socket, on a later snapshot."""
    failure = _completed(failure, snapshot)
    request = request_of(failure, device_names)
    if request is None:
        found = unexplained(failure, ADDRESS_UNSEEN if failure.protocol else NOT_JUDGED)
        return replace(found, netns=snapshot.netns)
    others = _without(failure, snapshot)
    verdict = explain_bind(
        replace(request, reuseport=request.reuseport and not failure.own_group),
        others,
        _facts(failure, snapshot.facts),
    )
    outcome = verdict.bind if failure.call == "bind" else verdict.listen
    gaps = [*failure.gaps, *verdict.gaps]
    if failure.call == "bind" and others is not snapshot:
        gaps.append(BOUND_SINCE)
    return ExplainedFailure(
        failure,
        snapshot.netns,
        request,
        verdict,
        cause=verdict.cause,
        fixes=verdict.fixes,
        explained=outcome == failure.errno,
        gaps=tuple(dict.fromkeys(gaps)),
        looked_after_s=snapshot.time + snapshot.took_s - failure.time,
    )


def explain_unix_failure(failure: Failure, look: UnixLook, at: float) -> ExplainedFailure:
    """The same for a unix socket, on what stood at its name at that time."""
    found = unexplained(failure, *look.gaps)
    cause, fixes = explain_name(failure, look)
    return replace(
        found,
        unix_owners=look.owners,
        cause=cause,
        fixes=fixes,
        explained=cause is not None,
        looked_after_s=at - failure.time,
    )


def request_of(failure: Failure, device_names: Mapping[int, str]) -> BindRequest | None:
    """What the call asked for; None for other protocols, or where too little was seen."""
    if failure.protocol not in get_args(Protocol) or failure.address is None:
        return None
    protocol: Protocol = "tcp" if failure.protocol == "tcp" else "udp"
    device = device_names.get(failure.device_index)
    try:
        request = BindRequest(
            protocol,
            failure.address,
            failure.port or 0,
            reuseaddr=failure.flags.reuseaddr is True,
            reuseport=failure.flags.reuseport is True,
            v6only=failure.family == "ipv6" and failure.v6only is True,
            uid=failure.uid if failure.socket_uid is None else failure.socket_uid,
            device=device,
        )
    except SockwatchError:
        return None
    if request.needs_zone and device is not None:
        return replace(request, address=f"{request.address}%{device}")
    return request


def _facts(failure: Failure, facts: HostFacts) -> HostFacts:
    """The host as the failing program met it."""
    if failure.call == "listen":
        # bind() has passed what comes before the test.
        return replace(
            facts,
            net_bind_service=True,
            uid=failure.socket_uid,
            nonlocal_bind_ipv4=True,
            nonlocal_bind_ipv6=True,
        )
    if failure.net_bind_service is None:
        return facts
    uid = failure.uid if failure.socket_uid is None else failure.socket_uid
    return replace(facts, uid=uid, net_bind_service=failure.net_bind_service)


def _completed(failure: Failure, snapshot: Snapshot) -> Failure:
    """With the address that the snapshot shows for the failing socket, where nobody told it."""
    if failure.address is not None or failure.inode is None:
        return failure
    for port in snapshot.ports:
        for sock in port.bound:
            if sock.inode == failure.inode:
                return failure._replace(family=sock.family, address=sock.address, port=port.number)
    return failure


def _without(failure: Failure, snapshot: Snapshot) -> Snapshot:
    """The snapshot without the failing socket, which does not stand in its own way."""
    if failure.inode is None:
        return snapshot
    changed: dict[tuple[Protocol, int], Port] = {}
    for port in snapshot.ports:
        listeners, bound = (
            tuple(sock for sock in sockets if sock.inode != failure.inode)
            for sockets in (port.listeners, port.bound)
        )
        if (len(listeners), len(bound)) != (len(port.listeners), len(port.bound)):
            changed[port.key] = port._replace(listeners=listeners, bound=bound)
    if not changed:
        return snapshot
    return replace(snapshot, ports=tuple(changed.get(port.key, port) for port in snapshot.ports))
