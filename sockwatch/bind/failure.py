"""Why a call failed: the verdict for exactly that request, on a snapshot taken right afterwards.

The kernel has answered already, so the verdict is put to the test: if the two differ, the failure
is not explained, since something was not seen or a rule is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sockwatch.bind.address_causes import explain_late_address
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.errnos import explain_errno, refused_by_policy
from sockwatch.bind.generations import eldest_first
from sockwatch.bind.model import BindRequest, Blocker, Cause, Fix, Rule, Verdict
from sockwatch.bind.unix import explain_name
from sockwatch.bind.verdict import explain_bind
from sockwatch.failure import Failure, UnixNameStatus, UnixOwner
from sockwatch.model import (
    PROTOCOLS,
    Gap,
    GapCode,
    HostFacts,
    Netns,
    Port,
    Protocol,
    Snapshot,
    SockwatchError,
)
from sockwatch.units import process_name

NOT_JUDGED = Gap(
    GapCode.NOT_JUDGED, "only failures of TCP, UDP and unix sockets are explained", remedy=None
)
BOUND_SINCE = Gap(
    GapCode.BOUND_SINCE,
    "the socket has bound in the meantime; whatever blocked it is gone",
    remedy=None,
)
ADDRESS_UNSEEN = Gap(
    GapCode.ADDRESS_UNSEEN,
    "the call's address and port could not be read: the process has exited, or its memory was"
    " paged out",
    remedy=None,
)


@dataclass(frozen=True, slots=True)
class ExplainedFailure:
    """A failure, and what a snapshot right after it showed.

    `explained`: the verdict is what the kernel answered. `request` and `verdict` are None if the
    call's address is unknown or its protocol is not judged. `unix_owners` are the unix sockets that
    have the name. `looked_after_s` is how many seconds after the failure the snapshot was complete;
    None if there was none.
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
    def reason(self) -> Rule | None:
        """The precondition by which the call failed; None if it is none, or not this errno."""
        return self.verdict.reason if self.verdict is not None and self.explained else None

    @property
    def blockers(self) -> tuple[Blocker, ...]:
        """The blockers of the verdict; empty without one."""
        if self.verdict is None or self.failure.errno != "EADDRINUSE":
            return ()  # no owner of the port has made another errno
        return self.verdict.blockers


def unexplained(failure: Failure, *gaps: Gap) -> ExplainedFailure:
    """Return the failure without a verdict."""
    netns = None if failure.netns_inode is None else Netns(failure.netns_inode, None)
    return ExplainedFailure(failure, netns, gaps=(*failure.gaps, *gaps))


def explain_call(failure: Failure) -> ExplainedFailure | None:
    """Explain a failure whose errno and call tell its cause; None if the host has to be seen."""
    explanation = explain_errno(failure)
    if explanation is None:
        return None
    cause, todo = explanation
    netns = None if failure.netns_inode is None else Netns(failure.netns_inode, None)
    return ExplainedFailure(
        failure,
        netns,
        cause=cause.or_seen(_answered(failure)),
        fixes=todo,
        explained=cause.id != CauseId.SECURITY_POLICY,
        gaps=failure.gaps,
    )


def explain_failure(
    failure: Failure,
    snapshot: Snapshot,
    device_names: Mapping[int, str],
    home_netns: int | None = None,
) -> ExplainedFailure:
    """Return the verdict for the failed call of a TCP or UDP socket, on a later snapshot.

    `home_netns` is the network namespace where the commands will be typed, None for that of the
    failure.
    """
    failure = _completed(failure, snapshot)
    request = request_of(failure, device_names)
    if request is None:
        gap = ADDRESS_UNSEEN if failure.protocol else NOT_JUDGED
        return replace(unexplained(failure, gap), netns=snapshot.netns)
    others = _without(failure, snapshot)
    verdict = explain_bind(
        replace(request, reuseport=request.reuseport and not failure.own_group),
        others,
        _facts(failure, snapshot.facts),
        failure.process,
    )
    outcome = verdict.bind if failure.call == "bind" else verdict.listen
    cause, todo = _explanation(failure, verdict, outcome, snapshot.facts)
    cause = cause and cause.or_seen(_answered(failure))
    if home_netns not in (None, snapshot.netns.inode):
        todo = tuple(_elsewhere(fix, failure) for fix in todo)
    answered = {GapCode.PORT_MEMORY} if outcome == failure.errno else set()
    gaps = [*failure.gaps, *(gap for gap in verdict.gaps if gap.code not in answered)]
    if failure.call == "bind" and others is not snapshot:
        gaps.append(BOUND_SINCE)
    return ExplainedFailure(
        failure,
        snapshot.netns,
        request,
        verdict,
        cause=cause,
        fixes=todo,
        explained=outcome == failure.errno,
        gaps=tuple(dict.fromkeys(gaps)),
        looked_after_s=snapshot.time + snapshot.took_s - failure.time,
    )


def _explanation(
    failure: Failure, verdict: Verdict, outcome: str | None, facts: HostFacts
) -> tuple[Cause | None, tuple[Fix, ...]]:
    """The errno is evidence: what cannot have produced it is not the cause."""
    if outcome != failure.errno:
        if failure.errno == "EACCES":
            return refused_by_policy(failure)
        if failure.errno == "EADDRNOTAVAIL":
            return explain_late_address(verdict.request, facts) or (None, ())
        return None, ()
    holders = eldest_first(h for blocker in verdict.blockers for h in blocker.holders)
    # A child that inherited the socket is not the one that has the port.
    if failure.errno == "EADDRINUSE" and holders and holders[0].pid == failure.pid:
        who = process_name(failure.process.name if failure.process else failure.comm, failure.pid)
        text = f"{who} already has the port itself, by another of its sockets"
        seen = (f"it has that one as fd {holders[0].fd}",)
        return Cause(CauseId.SAME_PROCESS, text, seen), (
            Fix("close the old socket before bind(), or restart instead of reloading"),
        )
    return verdict.cause, verdict.fixes


def _elsewhere(fix: Fix, failure: Failure) -> Fix:
    """The fix for somebody in another network namespace, by way of the failing process."""
    if not fix.in_netns or fix.command is None:
        return fix
    is_alive = failure.process is not None and failure.process.state != "X"
    if not is_alive or not failure.pid:
        return fix._replace(command=None)
    return fix.by_way_of(f"nsenter -t {failure.pid} -n")


def explain_unix_failure(failure: Failure, status: UnixNameStatus, at: float) -> ExplainedFailure:
    """Explain the same for a unix socket; `at` is when its name was looked up (epoch seconds)."""
    cause, fixes = explain_name(failure, status)
    cause = cause and cause.or_seen(_answered(failure))
    return replace(
        unexplained(failure, *status.gaps),
        unix_owners=status.owners,
        cause=cause,
        fixes=fixes,
        explained=cause is not None and cause.id != CauseId.SECURITY_POLICY,
        looked_after_s=at - failure.time,
    )


def _answered(failure: Failure) -> str:
    return f"{failure.call}() failed with {failure.errno}"


def request_of(failure: Failure, device_names: Mapping[int, str]) -> BindRequest | None:
    """Return what the call asked for; None for other protocols, or if the address is unknown."""
    if failure.protocol not in PROTOCOLS or failure.address is None:
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
    """Return the facts as they are for the failing program.

    The errno proves that what comes before it has passed: an address that no interface has, by
    IP_FREEBIND say, or the right to a low port.
    """
    uid = failure.uid if failure.socket_uid is None else failure.socket_uid
    at_the_test = failure.call == "listen" or failure.errno == "EADDRINUSE"
    if at_the_test or (failure.errno == "EACCES" and failure.family == "ipv4"):
        facts = replace(facts, nonlocal_bind_ipv4=True, nonlocal_bind_ipv6=True)
    if at_the_test:
        facts = replace(facts, net_bind_service=True)
    if failure.port_range is not None:
        facts = replace(facts, port_range=_narrowed(facts.port_range, failure.port_range))
    if at_the_test:
        return replace(facts, uid=uid)
    if failure.net_bind_service is None:
        return facts
    return replace(
        facts,
        uid=uid,
        net_bind_service=failure.net_bind_service,
        capabilities_count=failure.capabilities_count,
    )


def _narrowed(host: tuple[int, int] | None, own: tuple[int, int]) -> tuple[int, int]:
    """IP_LOCAL_PORT_RANGE within the host's: inet_sk_get_local_port_range()."""
    first, last = host or (1, 65535)
    own_first, own_last = own
    return (
        own_first if first <= own_first <= last else first,
        own_last if first <= own_last <= last else last,
    )


def _completed(failure: Failure, snapshot: Snapshot) -> Failure:
    """Take an unknown address from the failing socket in the snapshot."""
    if failure.address is not None or failure.inode is None:
        return failure
    for port in snapshot.ports:
        for sock in port.bound:
            if sock.inode == failure.inode:
                return failure._replace(family=sock.family, address=sock.address, port=port.number)
    return failure


def _without(failure: Failure, snapshot: Snapshot) -> Snapshot:
    """Return the snapshot without the failing socket, which does not block itself."""
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
