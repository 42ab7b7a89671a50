"""What to do so that a request succeeds: the fixes of its blockers, as steps. Pure: no I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final

from sockwatch.act import steps
from sockwatch.act.model import EndTarget, Plan, Refusal, RefusalCode, Step
from sockwatch.act.refusals import refusal
from sockwatch.act.steps import Inodes
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
from sockwatch.bind.evidence import is_of
from sockwatch.bind.generations import eldest_first
from sockwatch.bind.leftovers import WITHOUT_PROCESS
from sockwatch.bind.model import Blocker, Fix, Verdict
from sockwatch.bind.programs import NEVER_LISTEN, program
from sockwatch.model import HaltKind, Port, Process, Snapshot, Socket

MOST_CONNECTIONS: Final = 4096  # looked through for the inodes that a process holds


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
        refused = refusal(blocker, port, acts, ends, self._snapshot.facts)
        if refused is not None:
            if not self._ends_with_others(blocker):
                self._refuse(refused.code, refused.text, blocker.fixes, refused.process)
                if refused.code in (RefusalCode.NOT_PERMITTED, RefusalCode.UNSEEN):
                    self._as_root(verdict)
                return
            way = ()
        if not way:
            self._waits.append((None, steps.wait(blocker, None)))
            return
        self.advice += [fix for fix in blocker.fixes if fix.options or fix.step == "later"]
        for fix in way:
            self._carry_out(fix, blocker, verdict, inodes)

    def _way_of(self, blocker: Blocker) -> tuple[Fix, ...]:
        """The fixes to carry out. What no process holds goes by itself, even without a clock."""
        way = _way(blocker.fixes, destroy=self._destroys)
        if not (blocker.without_fd and blocker.owner.state in WITHOUT_PROCESS):
            return way
        if self._destroys:
            if any(isinstance(fix.act, DestroySockets) for fix in way):
                return way
            # Without the command, which would take sockets with an fd along.
            act = DestroySockets(blocker.owner.state, blocker.owner.address)
            return (Fix("destroy them", act=act),)
        return way if any(isinstance(fix.act, WaitForClocks) for fix in way) else (fixes.WAIT,)

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
                self._stop(steps.stop_units(fix, fix.act, inodes))
            case StopContainer():
                self._stop(steps.stop_container(fix, fix.act))
            case DestroySockets():
                self._destroyed.append(steps.destroy(fix, fix.act, blocker, verdict))
            case WaitForClocks():
                self._waits.append((blocker.frees_in_s, steps.wait(blocker, blocker.frees_in_s)))
            case Resume() | None:
                pass  # the signal's step resumes what is stopped

    def _stop(self, step: Step) -> None:
        known = [(s.kind, s.subject, s.argv, s.manager_uid) for s in self.stops]
        if (step.kind, step.subject, step.argv, step.manager_uid) not in known:
            self.stops.append(step)

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
            yield steps.end_by_signal(masters, by_sigkill=act.by_sigkill)
        if workers:
            yield steps.end_by_signal(
                workers, by_sigkill=act.by_sigkill, after_master=bool(masters)
            )
        for heir in targets:
            if heir.inherited:
                asks = heir.pid not in self._named
                yield steps.end_by_signal([heir], by_sigkill=act.by_sigkill, asks=asks)


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
