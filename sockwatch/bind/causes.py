"""Why a blocker is there, in one sentence with the evidence seen, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sockwatch.bind import fixes
from sockwatch.bind.accepting import seen_of_queue
from sockwatch.bind.address_causes import explain_address
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.ephemeral import EXHAUSTED
from sockwatch.bind.evidence import Evidence, Explanation, each_evidence, in_ephemeral_range
from sockwatch.bind.exhausted import explain_exhausted
from sockwatch.bind.foreign import with_foreign_address
from sockwatch.bind.halted import seen_of_halts
from sockwatch.bind.held import BOUND, SERVER
from sockwatch.bind.leftovers import REST
from sockwatch.bind.model import BindRequest, Blocker, Cause, Fix, FlagName, Verdict
from sockwatch.bind.preconditions import PRIVILEGED, PRIVILEGED_ELSEWHERE
from sockwatch.bind.redirected import explain_redirect
from sockwatch.bind.seen import seen_of_blocker
from sockwatch.model import HostFacts, Process, Snapshot


def with_causes(
    verdict: Verdict,
    snapshot: Snapshot,
    matrix: Mapping[tuple[bool, bool], Verdict],
    facts: HostFacts | None = None,
    failing: Process | None = None,
) -> Verdict:
    """Return the verdict with the cause of each blocker, the main cause, and the fixes.

    `matrix` has the verdicts for each (reuseaddr, reuseport), as matrix() makes them. `facts` are
    those that the verdict was made by; None means the snapshot's. `failing` is the process whose
    call was refused: it is not to be ended.
    """
    facts = facts or snapshot.facts
    port = snapshot.port(verdict.request.protocol, verdict.request.port)
    if verdict.bind not in ("ok", "depends", "EADDRINUSE"):  # no owner made another errno
        found = _before_the_test(verdict, facts)
        if found is None:
            return verdict
        seen = f"{verdict.bind} comes before anything that has the port is looked at"
        return replace(verdict, cause=found[0].or_seen(seen), fixes=found[1])
    if verdict.reason == EXHAUSTED and verdict.bind == "EADDRINUSE":
        cause, todo = explain_exhausted(verdict, snapshot, facts)
        return replace(verdict, cause=cause, fixes=todo)
    if not verdict.blockers or port is None:
        risk = _redirected(verdict, snapshot, facts) or _in_range(verdict, snapshot)
        return verdict if risk is None else replace(verdict, cause=risk[0], fixes=risk[1])
    flags = _flags_to_set(verdict.request, matrix)
    explanations = [
        with_foreign_address(_explain(evidence), evidence, facts)
        for evidence in each_evidence(verdict, port, snapshot, failing, flags)
    ]
    blockers = tuple(
        replace(blocker, cause=cause, fixes=_by_its_clock(blocker, todo))
        for blocker, (cause, todo) in zip(verdict.blockers, explanations, strict=True)
    )
    ranked = sorted(range(len(blockers)), key=lambda i: _rank(blockers[i]))
    seconds = fixes.frees_in_s(blockers)
    at_least = any(blocker.may_last_longer for blocker in blockers)
    of_each = (fixes.with_time(explanations[i][1], seconds, at_least=at_least) for i in ranked)
    return replace(
        verdict,
        blockers=blockers,
        cause=explanations[ranked[0]][0],
        fixes=fixes.one_after_the_other(of_each),
        frees_in_s=seconds,
    )


def _by_its_clock(blocker: Blocker, todo: tuple[Fix, ...]) -> tuple[Fix, ...]:
    return fixes.with_time(todo, blocker.frees_in_s, at_least=blocker.may_last_longer)


def _flags_to_set(
    request: BindRequest, matrix: Mapping[tuple[bool, bool], Verdict]
) -> tuple[FlagName, ...]:
    """Return the fewest reuse flags that the request lacks and would succeed with, if any."""
    fewest_first = sorted(matrix.items(), key=lambda entry: (sum(entry[0]), not entry[0][0]))
    for (reuseaddr, reuseport), verdict in fewest_first:
        keeps = reuseaddr >= request.reuseaddr and reuseport >= request.reuseport
        if keeps and verdict.outcome == "ok":
            wanted: dict[FlagName, bool] = {
                "SO_REUSEADDR": reuseaddr > request.reuseaddr,
                "SO_REUSEPORT": reuseport > request.reuseport,
            }
            return tuple(flag for flag, is_new in wanted.items() if is_new)
    return ()


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
            cause, todo = explanation
            seen = cause.or_seen(*seen_of_blocker(evidence)).evidence
            seen += seen_of_queue(evidence) + seen_of_halts(evidence)
            return cause._replace(evidence=tuple(dict.fromkeys(seen))), todo
    raise AssertionError(finders)  # the last of each always explains


def _redirected(verdict: Verdict, snapshot: Snapshot, facts: HostFacts) -> Explanation | None:
    return explain_redirect(verdict.request, snapshot, facts) if verdict.outcome == "ok" else None


def _in_range(verdict: Verdict, snapshot: Snapshot) -> Explanation | None:
    port = verdict.request.port
    if verdict.bind != "ok" or not in_ephemeral_range(port, snapshot):
        return None
    text = f"free now, but any outgoing connection may take it: {port} is in ip_local_port_range"
    seen = ("nothing has the port", f"the range is {_range(snapshot)}, and it is not reserved")
    return Cause(CauseId.FREE_IN_RANGE, text, seen), (fixes.reserve(port, snapshot.facts),)


def _range(snapshot: Snapshot) -> str:
    return "-".join(map(str, snapshot.facts.port_range or ()))


def _before_the_test(verdict: Verdict, facts: HostFacts) -> Explanation | None:
    if verdict.reason is None:
        return None
    if verdict.reason in (PRIVILEGED, PRIVILEGED_ELSEWHERE):
        return _low_port(verdict)
    return explain_address(verdict.reason.id, verdict.request, facts)


def _low_port(verdict: Verdict) -> Explanation:
    port = verdict.request.port
    if verdict.reason == PRIVILEGED_ELSEWHERE:
        text = (
            f"port {port} is below ip_unprivileged_port_start, and no capability of the program"
            " counts here: the network namespace belongs to another user namespace than its own,"
            " as with PrivateUsers= or in a rootless container"
        )
        return Cause(CauseId.LOW_PORT_ELSEWHERE, text), fixes.LOW_PORT_ELSEWHERE
    text = f"port {port} is below ip_unprivileged_port_start, and CAP_NET_BIND_SERVICE is missing"
    lower = Fix(
        "as root, let every program use it",
        f"sysctl -w net.ipv4.ip_unprivileged_port_start={port}",
        in_netns=True,
    )
    return Cause(CauseId.LOW_PORT, text), (*fixes.LOW_PORT, lower)
