"""Why a call failed: the verdict for exactly that request, on a snapshot taken right afterwards.

The kernel has answered already, so the verdict is put to the test: if the two differ, the failure
is not explained, since something was not seen or a rule is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.generations import eldest_first
from sockwatch.bind.model import BindRequest, Blocker, Cause, Fix, Verdict
from sockwatch.bind.unix import explain_name
from sockwatch.bind.verdict import explain_bind
from sockwatch.failure import Failure, UnixNameStatus, UnixOwner
from sockwatch.model import Gap, GapCode, HostFacts, Netns, Port, Protocol, Snapshot, SockwatchError
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
    def blockers(self) -> tuple[Blocker, ...]:
        """The blockers of the verdict; empty without one."""
        if self.verdict is None or self.failure.errno != "EADDRINUSE":
            return ()  # no owner of the port has made another errno
        return self.verdict.blockers


def unexplained(failure: Failure, *gaps: Gap) -> ExplainedFailure:
    """Return the failure without a verdict."""
    netns = None if failure.netns_inode is None else Netns(failure.netns_inode, None)
    return ExplainedFailure(failure, netns, gaps=(*failure.gaps, *gaps))


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
    )
    outcome = verdict.bind if failure.call == "bind" else verdict.listen
    cause, todo = _explanation(failure, verdict, outcome)
    if home_netns not in (None, snapshot.netns.inode):
        todo = tuple(_elsewhere(fix, failure) for fix in todo)
    gaps = [*failure.gaps, *verdict.gaps]
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
    failure: Failure, verdict: Verdict, outcome: str | None
) -> tuple[Cause | None, tuple[Fix, ...]]:
    """The errno is evidence: what cannot have produced it is not the cause."""
    if outcome != failure.errno:
        return _refused_by_policy(failure) if failure.errno in ("EACCES", "EPERM") else (None, ())
    holders = eldest_first(h for blocker in verdict.blockers for h in blocker.holders)
    # A child that inherited the socket is not the one that has the port.
    if failure.errno == "EADDRINUSE" and holders and holders[0].pid == failure.pid:
        who = process_name(failure.process.name if failure.process else failure.comm, failure.pid)
        text = f"{who} already has the port itself, by another of its sockets"
        return Cause(CauseId.SAME_PROCESS, text), (
            Fix("close the old socket before bind(), or restart instead of reloading", None),
        )
    return verdict.cause, verdict.fixes


def _refused_by_policy(failure: Failure) -> tuple[Cause, tuple[Fix, ...]]:
    text = (
        "a security policy refused it, such as SELinux, AppArmor, Landlock or seccomp: the rules"
        f" of bind() alone would not say {failure.errno} here"
    )
    return Cause(CauseId.SECURITY_POLICY, text), (
        Fix("look for the refusal in the audit log", "journalctl -k -g 'audit|apparmor|avc'"),
    )


def _elsewhere(fix: Fix, failure: Failure) -> Fix:
    """The fix for somebody in another network namespace, by way of the failing process."""
    if not fix.in_netns or fix.command is None:
        return fix
    is_alive = failure.process is not None and failure.process.state != "X"
    return fix._replace(
        command=f"nsenter -t {failure.pid} -n {fix.command}" if is_alive and failure.pid else None
    )


def explain_unix_failure(failure: Failure, status: UnixNameStatus, at: float) -> ExplainedFailure:
    """Explain the same for a unix socket; `at` is when its name was looked up (epoch seconds)."""
    cause, fixes = explain_name(failure, status)
    return replace(
        unexplained(failure, *status.gaps),
        unix_owners=status.owners,
        cause=cause,
        fixes=fixes,
        explained=cause is not None,
        looked_after_s=at - failure.time,
    )


def request_of(failure: Failure, device_names: Mapping[int, str]) -> BindRequest | None:
    """Return what the call asked for; None for other protocols, or if the address is unknown."""
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
    """Return the facts as they are for the failing program."""
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
