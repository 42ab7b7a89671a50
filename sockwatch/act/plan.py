"""What to do so that a request succeeds: the fixes of its blockers, as steps. Pure: no I/O."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final

from sockwatch.act.model import EndTarget, Plan, Refusal, RefusalCode, Step, StepKind
from sockwatch.bind import fixes
from sockwatch.bind.acts import (
    Act,
    DestroySockets,
    EndProcesses,
    Resume,
    StopContainer,
    StopUnits,
    WaitForClocks,
)
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.evidence import is_of
from sockwatch.bind.generations import eldest_first
from sockwatch.bind.leftovers import WITHOUT_PROCESS
from sockwatch.bind.model import Blocker, Fix, Verdict
from sockwatch.bind.programs import NEVER_LISTEN, program, why_untouchable
from sockwatch.bind.supervisors import let_it_stop
from sockwatch.model import HaltKind, HostFacts, Port, Process, Snapshot, Socket
from sockwatch.units import endpoint, plural, process_name, verb

CLIENTS: Final = frozenset({CauseId.CLIENT_PORT, CauseId.SELF_CONNECT})
MOST_CONNECTIONS: Final = 4096  # looked through for the inodes that a process holds
Inodes = Mapping[int, AbstractSet[int]]  # of the blocking sockets, by the pid of a holder


def plan(
    verdict: Verdict,
    snapshot: Snapshot,
    *,
    also: Verdict | None = None,
    destroy: bool = False,
    named: AbstractSet[int] = frozenset(),
) -> Plan:
    """Plan how to make the request of the verdict succeed, by the fixes that the verdict has.

    `verdict` is explain_bind()'s for `snapshot`, `also` that of a second request that has to
    succeed too. With `destroy`, root destroys sockets without an fd instead of waiting for them.
    `named` are pids of processes that only inherited the socket, and are to be ended without being
    asked about.
    """
    drafting = _Drafting(snapshot, destroy, named)
    for each in filter(None, (verdict, also)):
        if each.outcome != "ok":
            drafting.add(each)
    return Plan(
        verdict.request,
        verdict,
        (*drafting.stops, *drafting.last),
        tuple(dict.fromkeys(drafting.refusals)),
        tuple(dict.fromkeys(drafting.advice)),
        snapshot.time,
        also,
    )


class _Drafting:
    def __init__(self, snapshot: Snapshot, destroy: bool, named: AbstractSet[int]) -> None:
        self.stops: list[Step] = []
        self.refusals: list[Refusal] = []
        self.advice: list[Fix] = []
        self._snapshot = snapshot
        self._destroys = destroy and snapshot.facts.uid == 0
        self._named = named
        self._is_for_root = False  # a word on the first of two requests is enough
        self._waits: list[tuple[float | None, Step]] = []
        self._destroyed: list[Step] = []

    @property
    def last(self) -> tuple[Step, ...]:
        """What comes after everything that is stopped; of what is waited for, the longest."""
        waits = sorted(self._waits, key=lambda wait: math.inf if wait[0] is None else wait[0])
        destroyed = {(step.kind, step.subject): step for step in self._destroyed}
        return (*destroyed.values(), *(step for _, step in waits[-1:]))

    def add(self, verdict: Verdict) -> None:
        if verdict.reason is not None or not verdict.blockers:
            text = f"{verdict.outcome}: nothing that could be stopped is in the way"
            self._refuse(RefusalCode.NOTHING_TO_STOP, _sentence(verdict, text), verdict.fixes)
            return
        port = self._snapshot.port(verdict.request.protocol, verdict.request.port)
        inodes = _inodes(verdict.blockers, port)
        for blocker in sorted(verdict.blockers, key=_rank):
            self._add(blocker, verdict, port, inodes)

    def _add(self, blocker: Blocker, verdict: Verdict, port: Port | None, inodes: Inodes) -> None:
        way = self._way_of(blocker)
        acts = [fix.act for fix in way if fix.act is not None]
        ends = [process for act in acts for process in _ended(act)]
        refusal = self._refusal(blocker, port, acts, ends)
        if refusal is not None:
            if not self._ends_with_others(blocker):
                self._refuse(refusal.code, refusal.text, blocker.fixes, refusal.process)
                if refusal.code in (RefusalCode.NOT_PERMITTED, RefusalCode.UNSEEN):
                    self._as_root(verdict)
                return
            way = ()
        if not way:
            self._wait_for(blocker, None)
            return
        self.advice += [fix for fix in blocker.fixes if fix.options or fix.step == "later"]
        for fix in way:
            self._carry_out(fix, blocker, verdict, inodes)

    def _way_of(self, blocker: Blocker) -> tuple[Fix, ...]:
        """The fixes to carry out. What no process holds goes by itself, even without a clock."""
        way = _way(blocker.fixes, destroy=self._destroys)
        if not (_without_fd(blocker) and blocker.owner.state in WITHOUT_PROCESS):
            return way
        if self._destroys:
            if any(isinstance(fix.act, DestroySockets) for fix in way):
                return way
            # Without the command, which would take sockets with an fd along.
            act = DestroySockets(blocker.owner.state, blocker.owner.address)
            return (Fix("destroy them", act=act),)
        return way if any(isinstance(fix.act, WaitForClocks) for fix in way) else (fixes.WAIT,)

    def _refusal(
        self, blocker: Blocker, port: Port | None, acts: Sequence[Act], ends: Sequence[Process]
    ) -> Refusal | None:
        """Why nothing is done about the blocker; None if its way may be gone."""
        facts, cause = self._snapshot.facts, blocker.cause
        said = cause.text if cause is not None else blocker.rule.text
        only_waits = bool(acts) and all(isinstance(act, WaitForClocks) for act in acts)
        if only_waits:
            return None
        if cause is not None and cause.id in CLIENTS and not _without_fd(blocker):
            return Refusal(RefusalCode.CLIENT, said, _first(blocker))
        if not blocker.certain:
            text = f"{said}; whether that is in the way is not known"
            return Refusal(RefusalCode.NOT_CERTAIN, text, _first(blocker))
        if not all(isinstance(act, DestroySockets | WaitForClocks) for act in acts):
            for process in ends:
                if reason := why_untouchable(process, facts):
                    who = process_name(process.name, process.pid)
                    return Refusal(RefusalCode.PROTECTED, f"{who} stays: {reason}", process)
            if any(_ends_us(act, facts) for act in acts):
                text = f"{said}; this sockwatch runs in that unit"
                return Refusal(RefusalCode.PROTECTED, text, _first(blocker))
            if _carries_session(port, facts):
                text = f"{said}; your own session runs through this port"
                return Refusal(RefusalCode.SESSION, text, _first(blocker))
        if acts:
            return self._not_permitted(acts, ends, said)
        for holder in eldest_first(blocker.holders):
            if holder.process and (reason := why_untouchable(holder.process, facts)):
                who = process_name(holder.process.name, holder.pid)
                text = f"{said}; {who} stays: {reason}"
                return Refusal(RefusalCode.PROTECTED, text, holder.process)
        if any(h.process is not None and let_it_stop(h.process) for h in blocker.holders):
            text = f"{said}; what supervises it would start it again"
            return Refusal(RefusalCode.SUPERVISED, text, _first(blocker))
        code = RefusalCode.BY_HAND if _first(blocker) else RefusalCode.UNSEEN
        return Refusal(code, said, _first(blocker))

    def _not_permitted(
        self, acts: Sequence[Act], ends: Sequence[Process], said: str
    ) -> Refusal | None:
        """That an ordinary user may not carry it out; whom a manager lets stop it, it decides."""
        uid = self._snapshot.facts.uid
        if not uid:
            return None
        for act in acts:
            if isinstance(act, StopUnits) and act.manager_uid not in (None, uid):
                return Refusal(RefusalCode.NOT_PERMITTED, f"{said}; that is another user's", None)
        if any(isinstance(act, EndProcesses) for act in acts):
            for process in ends:
                if process.uid != uid:
                    who = process_name(process.name, process.pid)
                    text = f"{who} belongs to {process.user}, and only root may end it"
                    return Refusal(RefusalCode.NOT_PERMITTED, text, process)
        return None

    def _ends_with_others(self, blocker: Blocker) -> bool:
        """Whether all that hold it end by the steps so far, as a server's connections do."""
        ended = {target.pid for step in self.stops for target in step.targets}
        pids = {holder.pid for holder in blocker.holders}
        return bool(pids) and blocker.owner.state not in ("LISTEN", "UNCONN") and pids <= ended

    def _as_root(self, verdict: Verdict) -> None:
        """Advise to run this as root, instead of asking why as root."""
        facts = self._snapshot.facts
        if facts.uid != 0:
            ask = fixes.run_as_root(verdict, facts)
            self.advice = [fix for fix in self.advice if fix != ask]
            if not self._is_for_root:
                self.advice.append(fixes.run_as_root(verdict, facts, "free"))
            self._is_for_root = True

    def _refuse(
        self,
        code: RefusalCode,
        text: str,
        advice: Iterable[Fix],
        process: Process | None = None,
    ) -> None:
        self.refusals.append(Refusal(code, text, process))
        self.advice += advice

    def _carry_out(self, fix: Fix, blocker: Blocker, verdict: Verdict, inodes: Inodes) -> None:
        match fix.act:
            case EndProcesses():
                for step in self._signals(fix.act, blocker, inodes):
                    self._stop(step)
            case StopUnits():
                self._stop(_stop_units(fix, fix.act, inodes))
            case StopContainer():
                self._stop(_stop_container(fix, fix.act))
            case DestroySockets():
                self._destroyed.append(_destroy(fix, fix.act, blocker, verdict))
            case WaitForClocks():
                self._wait_for(blocker, blocker.frees_in_s)
            case Resume() | None:
                pass  # the signal's step resumes what is stopped

    def _stop(self, step: Step) -> None:
        known = [(s.kind, s.subject, s.argv, s.manager_uid) for s in self.stops]
        if (step.kind, step.subject, step.argv, step.manager_uid) not in known:
            self.stops.append(step)

    def _wait_for(self, blocker: Blocker, seconds: float | None) -> None:
        what, has = _what(blocker), verb(blocker.count, "has")
        if not _without_fd(blocker):
            text = "wait until what is left of its connections has gone, usually 60 s"
        elif seconds is None:
            text = f"wait until {what} {has} gone: the kernel gives up on the peer in minutes"
        else:
            text = f"wait {math.ceil(seconds)} s until {what} {has} gone; nobody holds that"
        self._waits.append((seconds, Step(StepKind.WAIT, text, None, None, what)))

    def _signals(self, act: EndProcesses, blocker: Blocker, inodes: Inodes) -> Iterator[Step]:
        """The masters together, then the workers that have not ended with them, then each heir."""
        known = {target.pid for step in self.stops for target in step.targets}
        heirs = _heirs(blocker)
        targets = [
            EndTarget(
                process,
                frozenset(inodes.get(process.pid, ())),
                inherited=process.pid in heirs,
                stopped=process.halt is not None and process.halt.kind == HaltKind.STOPPED,
            )
            for process in act.processes
            if process.pid not in known
        ]
        pids = {process.pid for process in act.processes}
        own = [target for target in targets if not target.inherited]
        masters = [target for target in own if target.process.parent_pid not in pids]
        workers = [target for target in own if target.process.parent_pid in pids]
        if masters:
            yield _signal(masters, by_sigkill=act.by_sigkill)
        if workers:
            yield _signal(workers, by_sigkill=act.by_sigkill, after_master=bool(masters))
        for heir in targets:
            if heir.inherited:
                asks = heir.pid not in self._named
                yield _signal([heir], by_sigkill=act.by_sigkill, asks=asks)


def _way(todo: Sequence[Fix], *, destroy: bool) -> tuple[Fix, ...]:
    """The first alternative of the fixes that a program can go by itself; () if none."""
    ways: list[list[Fix]] = []
    for fix in todo:
        if fix.step == "or" or (fix.step == "then" and not ways):
            ways.append([fix])
        elif fix.step == "then":
            ways[-1].append(fix)
    own = [way for way in ways if all(fix.act is not None for fix in way)]
    if destroy:
        own.sort(key=lambda way: not any(isinstance(fix.act, DestroySockets) for fix in way))
    return tuple(own[0]) if own else ()


def _ended(act: Act) -> tuple[Process, ...]:
    return act.processes if isinstance(act, EndProcesses | StopUnits | Resume) else ()


def _rank(blocker: Blocker) -> int:
    """Sort key: servers first, since their connections end with them."""
    return 0 if blocker.owner.state in ("LISTEN", "UNCONN", "BOUND") else 1


def _sentence(verdict: Verdict, otherwise: str) -> str:
    if verdict.cause is not None:
        return f"{verdict.outcome}: {verdict.cause.text}"
    return f"{verdict.outcome}: {verdict.reason.text}" if verdict.reason else otherwise


def _without_fd(blocker: Blocker) -> bool:
    owner = blocker.owner
    return owner.mini or (owner.inode if isinstance(owner, Socket) else owner.with_fd) == 0


def _first(blocker: Blocker) -> Process | None:
    """The process that stands for all that hold it; None if none was seen."""
    return next((h.process for h in eldest_first(blocker.holders) if h.process), None)


def _inodes(blockers: Iterable[Blocker], port: Port | None) -> dict[int, set[int]]:
    """By pid, the inodes of blocking sockets, of which the process has one at least."""
    found: dict[int, set[int]] = {}
    for blocker in blockers:
        owner = blocker.owner
        if isinstance(owner, Socket):
            inodes = {owner.inode}
        else:
            some = islice((port and port.connections) or (), MOST_CONNECTIONS)
            inodes = {sock.inode for sock in some if is_of(owner, sock)}
        for holder in owner.holders:
            found.setdefault(holder.pid, set()).update(filter(None, inodes))
    return found


def _heirs(blocker: Blocker) -> set[int]:
    """The pids of processes that have the socket from a parent which runs another program."""
    processes = [h.process for h in eldest_first(blocker.holders) if h.process is not None]
    if not processes:
        return set()
    own = [process for process in processes if program(process) not in NEVER_LISTEN]
    heirs = {process.pid for process in processes if process not in own}
    by_pid = {process.pid: process for process in own}
    for process in own:
        parent = by_pid.get(process.parent_pid or 0)
        if parent is not None and program(parent) != program(process):
            heirs.add(process.pid)
    return heirs


def _ends_us(act: Act, facts: HostFacts) -> bool:
    """Whether it stops the unit that we run in."""
    if facts.service is None or not isinstance(act, StopUnits):
        return False
    return facts.service.name in act.units and facts.service.manager_uid == act.manager_uid


def _carries_session(port: Port | None, facts: HostFacts) -> bool:
    """Whether the caller's own session comes in through the port."""
    if port is None:
        return False
    if (port.protocol, port.number) == ("tcp", facts.login_port):
        return True
    holders = (holder.pid for group in port.groups for holder in group.holders)
    return any(pid in facts.ancestors for pid in holders)


def _signal(
    targets: Sequence[EndTarget],
    *,
    by_sigkill: bool,
    after_master: bool = False,
    asks: bool = False,
) -> Step:
    first = targets[0]
    subject = first.name if len(targets) == 1 else f"{first.name} and {len(targets) - 1} more"
    pids = [target.pid for target in targets]
    command = fixes.kill(*pids, signal="KILL" if by_sigkill else None)
    stopped = [target.pid for target in targets if target.stopped]
    if stopped and not by_sigkill:
        command = f"{command} && {fixes.kill(*stopped, signal='CONT')}"
    if by_sigkill:
        text = f"end {subject} by SIGKILL, once you agree to that: SIGTERM does nothing"
    elif after_master:
        text = f"end what is left of {plural(len(targets), 'worker')}: {subject}, by SIGTERM"
    else:
        text = f"end {subject} by SIGTERM"
    if asks:
        text += "; it only inherited the socket"
    return Step(
        StepKind.SIGNAL,
        text,
        command,
        _risk(targets, by_sigkill=by_sigkill),
        subject,
        tuple(targets),
        asks=asks,
        by_sigkill=by_sigkill,
        follows=after_master,
    )


def _risk(targets: Sequence[EndTarget], *, by_sigkill: bool) -> str:
    risk = "what it has not written is lost" if by_sigkill else "its clients lose their connections"
    origins = (target.process.origin for target in targets)
    labels = dict.fromkeys(
        origin.label
        for origin in origins
        if origin is not None and not (origin.unit or "").endswith(".scope")
    )
    return f"{risk}; {' or '.join(labels)} may start it again" if labels else risk


def _stop_units(fix: Fix, act: StopUnits, inodes: Inodes) -> Step:
    targets = (EndTarget(p, frozenset(inodes.get(p.pid, ()))) for p in act.processes)
    words = fixes.systemctl_words(act.manager_uid, "--no-ask-password", "stop", "--", *act.units)
    return Step(
        StepKind.STOP_UNIT,
        fix.text,
        fix.command,
        "what the unit serves is down until somebody starts it",
        " and ".join(act.units),
        tuple(targets),
        argv=words,
        manager_uid=act.manager_uid,
    )


def _stop_container(fix: Fix, act: StopContainer) -> Step:
    return Step(
        StepKind.STOP_CONTAINER,
        fix.text,
        shlex.join(act.argv),
        "all that the container serves is down until somebody starts it",
        act.label,
        argv=act.argv,
    )


def _destroy(fix: Fix, act: DestroySockets, blocker: Blocker, verdict: Verdict) -> Step:
    where = endpoint(act.address, verdict.request.port)
    return Step(
        StepKind.DESTROY,
        f"destroy {_what(blocker)} on {where}; no process holds them",
        fix.command,
        "a late packet of an old connection may reach a new one",
        f"{_what(blocker)} on {where}",
        in_netns=True,
        sockets=act,
    )


def _what(blocker: Blocker) -> str:
    state = blocker.owner.state
    return f"{blocker.count} {state}" if blocker.count > 1 else state
