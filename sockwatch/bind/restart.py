"""Would a restart succeed: what a server's own bind() gets once it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from sockwatch.bind.aftermath import Aftermath, aftermath
from sockwatch.bind.again import Again
from sockwatch.bind.ending import servers, who_ends
from sockwatch.bind.fixes import frees_in_s
from sockwatch.bind.model import BindRequest, Condition, FlagName, Outcome, Owner, Verdict
from sockwatch.bind.shortcut import FORGOTTEN
from sockwatch.bind.verdict import bare_verdict
from sockwatch.model import (
    FlagCounts,
    Gap,
    GapCode,
    HostFacts,
    Port,
    Process,
    Snapshot,
    Socket,
    TimeWait,
    is_service_manager,
)

FATE_UNSEEN: Final = Gap(
    GapCode.FATE_UNSEEN,
    "whether some sockets of the port go together with its server could not be seen: another"
    " process may hold them, or their peers have not acknowledged everything yet",
    "look again as root, at the port alone",
)
UNREAD_UNSEEN: Final = Gap(
    GapCode.RESETS_UNSEEN,
    "a connection with data that its server has not read is reset, and leaves no TIME_WAIT; here"
    " they were only counted",
    "look at the port alone",
)
LINGER_UNSEEN: Final = Gap(
    GapCode.RESETS_UNSEEN,
    "a connection for which its server has set SO_LINGER to 0 is reset, and leaves no TIME_WAIT;"
    " nothing shows that option",
    None,
)
REMEMBERED: Final = (
    "Does the kernel remember that the server has bound the port with SO_REUSEPORT?"
    " If so, its new socket skips the test."
)


class RestartVerdict(NamedTuple):
    """What the kernel would answer to a port's server that ends now and binds again at once.

    `requests` are what it would ask for: the sockets that it has now, with the flags they have
    now. Where a flag is unknown there is a request for each way it may be. `verdict` is on the
    request that fails first, else on the first, among what is left then; it has neither causes nor
    fixes, since its blockers may not be there yet. `frees_in_s` is after how many seconds every
    request succeeds, if the peers close as soon as the server has; None if nothing blocks, if it
    depends, or if something stays until it is closed.

    `ends` are the processes that are supposed to end, the one that stands for all first; empty if
    none could be seen. `stays` are the owners that other processes keep. `connections` counts the
    open ones that will be left in FIN_WAIT2 and TIME_WAIT, by SO_REUSEADDR, and `time_wait` is what
    is there now. `passed_on_by` is the systemd that keeps the socket and passes it to the service
    that starts, which calls neither bind() nor listen(); None if there is none.
    """

    requests: tuple[BindRequest, ...]
    verdict: Verdict
    frees_in_s: float | None
    ends: tuple[Process, ...]
    stays: tuple[Owner, ...]
    connections: FlagCounts
    time_wait: TimeWait
    passed_on_by: Process | None = None

    @property
    def bind(self) -> Outcome:
        """The answer to the first call of the request that fails first."""
        return self.verdict.bind

    @property
    def listen(self) -> Outcome | None:
        """The answer to its second call, if the first succeeds; None for UDP."""
        return self.verdict.listen


def explain_restart(port: Port, snapshot: Snapshot) -> RestartVerdict | None:
    """Return what the port's server would get, were it restarted now; None if it has no server.

    It is supposed to end as a whole, and to ask for the same port again, also where the kernel has
    chosen it. Capabilities are supposed to be those it had. Raises SockwatchError if the snapshot
    holds another port only.
    """
    if passed_on := _passed_on(port, snapshot):
        return passed_on
    ends = who_ends(port)
    pids = {holder.pid for holder in ends}
    own = [sock for sock in servers(port) if not pids or _is_held_by(sock, pids)]
    if not own:
        return None
    left = aftermath(port, pids)
    asked = dict.fromkeys(Again.of(sock) for sock in own)
    judge = _Judge(port, left, snapshot)
    verdicts = [judge.of(each) for each in asked]
    worst = min(verdicts, key=_rank)
    failing = [verdict for verdict in verdicts if _rank(verdict) == 0]
    waits = all(verdict.bind == "EADDRINUSE" for verdict in failing)
    blockers = [blocker for verdict in failing for blocker in verdict.blockers]
    return RestartVerdict(
        tuple(request for each in asked for request in each.requests),
        worst,
        frees_in_s(blockers) if waits else None,
        tuple(holder.process for holder in ends if holder.process is not None),
        left.kept,
        left.connections,
        port.time_wait,
    )


def _passed_on(port: Port, snapshot: Snapshot) -> RestartVerdict | None:
    """The verdict where systemd keeps the port's socket; None if it does not."""
    for sock in servers(port):
        processes = [holder.process for holder in sock.holders if holder.process is not None]
        manager = next(filter(is_service_manager, processes), None)
        if manager is None:
            continue
        requests = Again.of(sock).requests
        listen: Outcome | None = "ok" if port.protocol == "tcp" else None
        return RestartVerdict(
            requests,
            Verdict(requests[0], snapshot.kernel, "ok", listen),
            None,
            tuple(process for process in processes if process is not manager),
            (),
            FlagCounts(),
            port.time_wait,
            manager,
        )
    return None


def _is_held_by(sock: Socket, pids: set[int]) -> bool:
    return any(holder.pid in pids for holder in sock.holders)


def _rank(verdict: Verdict) -> int:
    """Sort key: a failure, then what depends, then success."""
    outcomes = {verdict.bind, verdict.listen or "ok"}
    return 2 if outcomes == {"ok"} else 1 if outcomes <= {"ok", "depends"} else 0


class _Judge:
    """Makes the verdicts on what is left."""

    def __init__(self, port: Port, left: Aftermath, snapshot: Snapshot) -> None:
        self._left = left
        self._least = replace(snapshot, ports=(left.least,))
        self._most = replace(snapshot, ports=(left.most,))
        open_now = [group for group in port.groups if not group.mini and group.with_fd != 0]
        is_counted = any(group.unread is None for group in open_now)
        self._resets = (LINGER_UNSEEN, *((UNREAD_UNSEEN,) if is_counted else ()))

    def of(self, asked: Again) -> Verdict:
        """The verdict on a socket, whatever its flags are."""
        verdicts = [self._one(request) for request in asked.requests]
        first = verdicts[0]
        if len({(verdict.bind, verdict.listen) for verdict in verdicts}) == 1:
            return first
        conditions = [condition for verdict in verdicts for condition in verdict.conditions]
        conditions += [_condition(name, verdicts) for name in asked.unknown]
        blocked = next(verdict for verdict in verdicts if verdict.blockers)
        return _depends(blocked, tuple(dict.fromkeys(conditions)))

    def _one(self, request: BindRequest) -> Verdict:
        verdict = self._unremembered(request)
        if _rank(verdict) == 2 or not request.reuseport or FORGOTTEN not in verdict.gaps:
            return verdict
        owner = verdict.blockers[0].owner
        condition = Condition(owner, "port memory", "ok", verdict.bind, REMEMBERED)
        return _depends(verdict, (*verdict.conditions, condition))

    def _unremembered(self, request: BindRequest) -> Verdict:
        """The verdict as if the kernel had forgotten the server's own sockets."""
        facts = _facts_of(request, self._most.facts)
        most = bare_verdict(request, self._most, facts)
        if _rank(most) == 2 or most.reason is not None:
            return most
        least = bare_verdict(request, self._least, facts)
        if least.bind == most.bind:
            return self._with_resets(most)
        return replace(_depends(most, most.conditions), gaps=(*most.gaps, FATE_UNSEEN))

    def _with_resets(self, verdict: Verdict) -> Verdict:
        """Own up to what could let the bind() succeed after all."""
        if sum(self._left.connections) == 0:
            return verdict
        return replace(verdict, gaps=(*verdict.gaps, *self._resets))


def _facts_of(request: BindRequest, facts: HostFacts) -> HostFacts:
    """The facts as they are for a server that has bound this port before."""
    uid = None if request.uid is None else facts.uid
    return replace(facts, uid=uid, unprivileged_port_start=0, bindv6only=False)


def _depends(verdict: Verdict, conditions: tuple[Condition, ...]) -> Verdict:
    listen: Outcome | None = None if verdict.listen is None else "depends"
    return replace(verdict, bind="depends", listen=listen, reason=None, conditions=conditions)


def _condition(name: FlagName, verdicts: Sequence[Verdict]) -> Condition:
    owner = next(blocker.owner for verdict in verdicts for blocker in verdict.blockers)
    field = "reuseaddr" if name == "SO_REUSEADDR" else "reuseport"

    def outcome(value: bool) -> Outcome:
        outcomes = {v.bind for v in verdicts if getattr(v.request, field) is value}
        return outcomes.pop() if len(outcomes) == 1 else "depends"

    return Condition(
        owner, name, outcome(True), outcome(False), f"Does the server set {name} before bind()?"
    )
