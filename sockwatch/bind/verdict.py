"""A request and a snapshot make a verdict: the kernel's test of the port, owner by owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sockwatch.bind.causes import with_causes
from sockwatch.bind.ephemeral import EXHAUSTED, FOLDED, find_port
from sockwatch.bind.kernels import Quirk, release_gaps
from sockwatch.bind.model import (
    BindRequest,
    Blocker,
    Condition,
    Outcome,
    Owner,
    Rule,
    Unknown,
    Verdict,
)
from sockwatch.bind.overlap import classify
from sockwatch.bind.preconditions import effective_v6only, find_refusal
from sockwatch.bind.releases import agreed, possible_quirks
from sockwatch.bind.rules import JudgedOwner, NewSocket, judge
from sockwatch.bind.shortcut import FORGOTTEN, forgotten, remembered
from sockwatch.model import Gap, GapCode, HostFacts, Port, Process, Snapshot, Socket, SockwatchError

UDP_SLOT = 10  # sockets in a UDP hash slot above which the kernel scans its second table

BOUND_UNSEEN = Gap(
    GapCode.BOUND_UNSEEN,
    "before 6.8, Linux does not list sockets that are bound but neither listen nor are connected;"
    " one of them may block the port",
    "try a real bind()",
)

FLAG_PAIRS = ((False, False), (True, False), (False, True), (True, True))

QUESTIONS: dict[Unknown, str] = {
    "SO_REUSEADDR": "Does the owner have SO_REUSEADDR?",
    "SO_REUSEPORT": "Does the owner have SO_REUSEPORT?",
    "IPV6_V6ONLY": "Does the owner have IPV6_V6ONLY?",
    "same user": "Does the owner belong to the user of the new socket?",
    "port memory": "Is the owner the SO_REUSEPORT socket that the kernel remembers for this port?"
    " If so, the new socket skips the test.",
    "scan order": "Does the kernel's scan reach the owner before the one that blocks?"
    " It stops at a socket that shares SO_REUSEPORT; the newest usually comes first.",
    "scan reach": "Does the kernel's scan reach the owner?"
    " This kernel does not search every list of the port's sockets.",
}


def explain_bind(
    request: BindRequest,
    snapshot: Snapshot,
    facts: HostFacts | None = None,
    failing: Process | None = None,
) -> Verdict:
    """Return what the kernel would answer to the request, what blocks it, why, and what to do.

    `facts` replaces those of the snapshot, for a program that runs as another user or under other
    sysctls; None means those of the snapshot. `failing` is the process whose call has been refused,
    None if there is none. Raises SockwatchError if the snapshot holds another
    port only.
    """
    facts = facts or snapshot.facts
    verdict = bare_verdict(request, snapshot, facts)
    others = matrix(request, snapshot, facts) if verdict.blockers else {}
    return with_causes(verdict, snapshot, others, facts, failing)


def matrix(
    request: BindRequest, snapshot: Snapshot, facts: HostFacts | None = None
) -> dict[tuple[bool, bool], Verdict]:
    """Return the verdict for each (reuseaddr, reuseport): neither, the first, the second, both.

    Causes and fixes are left out; explain_bind() finds those of one request. `facts` and the error
    raised are as there.
    """
    return {
        (reuseaddr, reuseport): bare_verdict(
            replace(request, reuseaddr=reuseaddr, reuseport=reuseport),
            snapshot,
            facts or snapshot.facts,
        )
        for reuseaddr, reuseport in FLAG_PAIRS
    }


def bare_verdict(request: BindRequest, snapshot: Snapshot, facts: HostFacts) -> Verdict:
    """Return the verdict without causes and fixes, and so without `frees_in_s`.

    Raises SockwatchError if the snapshot holds another port only.
    """
    if snapshot.only_port is not None and snapshot.only_port != request.port:
        raise SockwatchError(
            f"the snapshot holds port {snapshot.only_port} only, not {request.port or 'all ports'}"
        )
    refusal, unseen = find_refusal(request, facts)
    judge_owners = _judge_port_zero if request.port == 0 else _judge_port
    judged = agreed(
        [judge_owners(request, snapshot, facts, quirks) for quirks in possible_quirks(snapshot)]
    )
    if refusal is not None:
        # The blockers stay: listen() meets them, and so does bind() once its error is gone.
        judged = replace(judged, bind=refusal.outcome, reason=refusal.rule)
    gaps = (*snapshot.gaps, *release_gaps(snapshot.kernel), *unseen, *judged.gaps)
    return replace(judged, gaps=tuple(dict.fromkeys(gaps)))


def owners_of(port: Port | None) -> tuple[Owner, ...]:
    """Return every owner of a port, connections as groups; none for None."""
    return () if port is None else (*port.listeners, *port.bound, *port.groups)


def _met(request: BindRequest, facts: HostFacts, port: Port | None) -> tuple[Owner, ...]:
    return tuple(owner for owner in owners_of(port) if _in_one_table(request, facts, owner))


def _in_one_table(request: BindRequest, facts: HostFacts, owner: Owner) -> bool:
    """Whether the test meets the owner: each VRF has a table of TCP ports of its own.

    inet_bind_bucket_match() (net/ipv4/inet_hashtables.c), since 5.0.
    """
    if request.protocol == "udp" or facts.tcp_l3mdev_accept is not False:
        return True
    return facts.vrf(request.bound_device) == facts.vrf(owner.device)


def _new(request: BindRequest, facts: HostFacts) -> NewSocket:
    v6only = effective_v6only(request, facts)
    return NewSocket(
        request.protocol,
        classify(request.family, request.address, v6only, bound=True),
        request.bound_device,
        request.reuseaddr,
        request.reuseport,
        facts.uid if request.uid is None else request.uid,
    )


def _judge_port_zero(
    request: BindRequest, snapshot: Snapshot, facts: HostFacts, quirks: frozenset[Quirk]
) -> Verdict:
    outcome, gaps = find_port(
        _new(request, facts),
        request,
        snapshot,
        facts,
        lambda number: _met(request, facts, snapshot.port(request.protocol, number)),
        quirks,
    )
    return Verdict(
        request,
        snapshot.kernel,
        outcome,
        outcome if request.protocol == "tcp" else None,
        reason=None if outcome == "ok" else EXHAUSTED,
        gaps=tuple(gaps),
    )


def _judge_port(
    request: BindRequest, snapshot: Snapshot, facts: HostFacts, quirks: frozenset[Quirk]
) -> Verdict:
    port = snapshot.port(request.protocol, request.port)
    test = _PortTest(_new(request, facts), _met(request, facts, port), quirks)
    judged = test.judge()
    outcome = test.weigh(judged)
    gaps: tuple[Gap, ...] = ()
    if outcome != "EADDRINUSE" and snapshot.is_folded(request.protocol, request.port):
        outcome, gaps = "depends", (FOLDED,)
    if outcome == "EADDRINUSE" and forgotten(test.new, judged, test.quirks):
        gaps = (FORGOTTEN,)
    if outcome != "EADDRINUSE" and request.protocol == "tcp" and _misses_bound(snapshot):
        gaps += (BOUND_UNSEEN,)
    return Verdict(
        request,
        snapshot.kernel,
        outcome,
        outcome if request.protocol == "tcp" else None,  # listen() runs the same test
        blockers=tuple(_blocker(j) for j in judged if j.blocks is not False),
        conditions=test.conditions(judged) if outcome == "depends" else (),
        gaps=gaps,
    )


def _misses_bound(snapshot: Snapshot) -> bool:
    return any(gap.code == GapCode.BOUND_NOT_VISIBLE for gap in snapshot.gaps)


def _blocker(judged: JudgedOwner) -> Blocker:
    owner = judged.owner
    rule: Rule = judged.rule
    if isinstance(owner, Socket):
        count, frees_in_s = 1, owner.frees_in_s
    else:
        count, frees_in_s = owner.count, owner.last_frees_in_s
    certain = judged.blocks is True
    return Blocker(owner, count, owner.holders, rule, certain, frees_in_s, judged.unknowns)


def _tested(owner: Owner) -> tuple[object, ...]:
    """All of an owner that the test can tell."""
    where = (owner.family, owner.address, owner.device, owner.v6only)
    return (*where, owner.state, owner.mini, owner.flags[:2], owner.uid)


class _PortTest:
    """The kernel's test of a new socket against all owners of its port."""

    def __init__(self, new: NewSocket, owners: Sequence[Owner], quirks: frozenset[Quirk]) -> None:
        self.new = new
        self.owners = owners
        self.quirks = quirks

    def judge(self) -> list[JudgedOwner]:
        return [judge(self.new, owner, self.quirks) for owner in self.owners]

    def weigh(self, judged: Sequence[JudgedOwner], *, escape: bool = True) -> Outcome:
        """Return the outcome; `escape` False assumes that the kernel notices every blocker."""
        if all(j.blocks is False for j in judged):
            return "ok"
        if all(j.blocks is not True for j in judged):
            return "depends"
        return "depends" if escape and self._escapes(judged) else "EADDRINUSE"

    def _escapes(self, judged: Sequence[JudgedOwner]) -> list[tuple[Owner, Unknown]]:
        """The ways by which the kernel may not notice an owner that blocks."""
        if self.new.protocol == "tcp":
            memory: list[tuple[Owner, Unknown]] = [
                (owner, "port memory") for owner in remembered(self.new, judged, self.quirks)
            ]
            return memory + self._one_wildcard_list(judged)
        order: list[tuple[Owner, Unknown]] = [
            (j.owner, "scan order") for j in judged if "shared" in j.results
        ]
        return order + self._udp_reach(judged)

    def _one_wildcard_list(self, judged: Sequence[JudgedOwner]) -> list[tuple[Owner, Unknown]]:
        """6.1 to 6.8: with owners on both 0.0.0.0 and ::, the kernel searches one of the lists."""
        if Quirk.ONE_WILDCARD_LIST not in self.quirks or self.new.address.wildcard:
            return []
        lists: dict[bool, bool] = {}  # is it IPv6 -> does it block
        for j in judged:
            address = classify(j.owner.family, j.owner.address, j.owner.v6only is True)
            if address.wildcard:
                is_ipv6 = address.kind.startswith("::")
                lists[is_ipv6] = lists.get(is_ipv6, False) or j.blocks is True
            elif j.blocks is True:
                return []
        if len(lists) < 2 or all(lists.values()):
            return []
        return [(j.owner, "scan reach") for j in judged if j.blocks is True]

    def _udp_reach(self, judged: Sequence[JudgedOwner]) -> list[tuple[Owner, Unknown]]:
        if Quirk.UDP_WILDCARD_MISSES not in self.quirks or not self.new.address.wildcard:
            return []
        blockers = [j.owner for j in judged if j.blocks is True]
        wildcards = (classify(o.family, o.address, o.v6only is True).wildcard for o in blockers)
        count = sum(1 if isinstance(o, Socket) else o.count for o in self.owners)
        if count <= UDP_SLOT or any(wildcards):
            return []
        return [(owner, "scan reach") for owner in blockers]

    def conditions(self, judged: Sequence[JudgedOwner]) -> tuple[Condition, ...]:
        """What would decide, each with the outcome for yes and for no."""
        conditions = []
        # Of many owners that are alike to the test, each would decide the same.
        answers: dict[tuple[object, ...], tuple[Outcome, Outcome]] = {}
        for i, j in enumerate(judged):
            for unknown in j.unknowns:
                key = (unknown, *_tested(j.owner))
                if key not in answers:
                    answers[key] = self._if_known(judged, i, unknown)
                yes, no = answers[key]
                if yes != no:
                    conditions.append(Condition(j.owner, unknown, yes, no, QUESTIONS[unknown]))
        if any(j.blocks is True for j in judged):
            unnoticed = self.weigh(judged, escape=False)
            for owner, name in self._escapes(judged):
                yes, no = ("ok", unnoticed) if name != "scan reach" else (unnoticed, "ok")
                conditions.append(Condition(owner, name, yes, no, QUESTIONS[name]))
        return tuple(conditions)

    def _if_known(
        self, judged: Sequence[JudgedOwner], i: int, unknown: Unknown
    ) -> tuple[Outcome, Outcome]:
        """The outcome if what is unknown of that owner is so, and if it is not."""
        yes, no = (
            self.weigh([*judged[:i], self._fixed(i, unknown, value), *judged[i + 1 :]])
            for value in (True, False)
        )
        return yes, no

    def _fixed(self, i: int, unknown: Unknown, value: bool) -> JudgedOwner:
        return judge(self.new, self.owners[i], self.quirks, fixed=(unknown, value))
