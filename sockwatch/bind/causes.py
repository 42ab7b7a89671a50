"""Why a blocker is there, in one sentence with the evidence seen, and what to do about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sockwatch.bind import fixes
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.evidence import Evidence, Explanation, in_ephemeral_range
from sockwatch.bind.held import BOUND, SERVER
from sockwatch.bind.leftovers import REST
from sockwatch.bind.model import Blocker, Cause, Fix, Verdict
from sockwatch.model import Snapshot


def with_causes(verdict: Verdict, snapshot: Snapshot) -> Verdict:
    """Return the verdict with the cause of each blocker, the main cause, and the fixes."""
    port = snapshot.port(verdict.request.protocol, verdict.request.port)
    if verdict.bind in _BEFORE_THE_TEST:
        cause, todo = _BEFORE_THE_TEST[verdict.bind](verdict)
        return replace(verdict, cause=cause, fixes=todo)
    if not verdict.blockers or port is None:
        risk = _in_range(verdict, snapshot)
        return verdict if risk is None else replace(verdict, cause=risk[0], fixes=risk[1])
    explanations = [
        _explain(Evidence(verdict, _with_its_group(blocker, verdict), port, snapshot))
        for blocker in verdict.blockers
    ]
    blockers = tuple(
        replace(blocker, cause=cause)
        for blocker, (cause, _) in zip(verdict.blockers, explanations, strict=True)
    )
    ranked = sorted(range(len(blockers)), key=lambda i: _rank(blockers[i]))
    todo = tuple(dict.fromkeys(fix for i in ranked for fix in explanations[i][1]))
    seconds = fixes.frees_in_s(blockers)
    return replace(
        verdict,
        blockers=blockers,
        cause=explanations[ranked[0]][0],
        fixes=fixes.with_time(todo, seconds),
        frees_in_s=seconds,
    )


def _with_its_group(blocker: Blocker, verdict: Verdict) -> Blocker:
    """Give a server's socket the holders of all that share its address: they are one cause."""
    group = [other for other in verdict.blockers if _bound_to(other) == _bound_to(blocker)]
    if blocker.owner.mini or len(group) == 1:
        return blocker
    return replace(blocker, holders=tuple(holder for other in group for holder in other.holders))


def _bound_to(blocker: Blocker) -> tuple[str, str, str | None]:
    owner = blocker.owner
    return (owner.state, owner.address, owner.device)


def _rank(blocker: Blocker) -> int:
    """Sort key: a server explains more than what it left behind."""
    if blocker.owner.state in ("LISTEN", "UNCONN"):
        return 0
    return 1 if blocker.owner.state == "BOUND" else 3 if blocker.owner.mini else 2


def _explain(evidence: Evidence) -> Explanation:
    is_bound = evidence.blocker.owner.state == "BOUND"
    finders = SERVER if evidence.is_server else BOUND if is_bound else REST
    for finder in finders:
        if (explanation := finder(evidence)) is not None:
            return explanation
    raise AssertionError(finders)  # the last of each always explains


def _in_range(verdict: Verdict, snapshot: Snapshot) -> Explanation | None:
    port = verdict.request.port
    if verdict.bind != "ok" or not in_ephemeral_range(port, snapshot):
        return None
    text = f"free now, but any outgoing connection may take it: {port} is in ip_local_port_range"
    return Cause(CauseId.FREE_IN_RANGE, text), (fixes.reserve(port, snapshot.facts),)


def _low_port(verdict: Verdict) -> Explanation:
    port = verdict.request.port
    text = f"port {port} is below ip_unprivileged_port_start, and CAP_NET_BIND_SERVICE is missing"
    lower = Fix(
        "or, as root, let every program use it",
        f"sysctl -w net.ipv4.ip_unprivileged_port_start={port}",
        in_netns=True,
    )
    return Cause(CauseId.LOW_PORT, text), (*fixes.LOW_PORT, lower)


def _not_local(verdict: Verdict) -> Explanation:
    if verdict.reason is not None and verdict.reason.id == "tentative":
        text = (
            f"{verdict.request.address} is tentative: duplicate address detection is still running"
        )
        return Cause(CauseId.ADDRESS_TENTATIVE, text), (
            Fix("wait a second or two", "ip -6 address show tentative", in_netns=True),
        )
    text = f"no interface of this host has {verdict.request.address}"
    return Cause(CauseId.ADDRESS_NOT_LOCAL, text), (
        Fix("list the addresses of this host", "ip address", in_netns=True),
        Fix("if it is configured late, start the server after network-online.target", None),
    )


_BEFORE_THE_TEST: Final = {"EACCES": _low_port, "EADDRNOTAVAIL": _not_local}
