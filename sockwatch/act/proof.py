"""Whether the port is free now: by the verdict, once what goes by itself has gone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from sockwatch.act.cancel import Cancellation
from sockwatch.act.model import Event, EventKind, Plan, Step, StepKind
from sockwatch.bind.acts import DestroySockets
from sockwatch.bind.generations import eldest_first
from sockwatch.bind.programs import program
from sockwatch.model import Process, Snapshot, Socket
from sockwatch.units import process_name

SETTLE_S: Final = 1.0  # in which a supervisor starts again what was signalled
LOOK_S: Final = 1.0  # between two looks at what has no clock
LOOK_BY_CLOCK_S: Final = 5.0
SOON_S: Final = 0.05  # between two looks at what should have gone
CLOSING_S: Final = 2.0  # in which the kernel closes the sockets of a process that is ending
LONGEST_WAIT_S: Final = 300.0  # the kernel gives up on orphans long before
SERVERS: Final = frozenset({"LISTEN", "UNCONN", "BOUND"})


class Replanned(NamedTuple):
    """A new replan, and the plan that it gives."""

    plan: Plan
    snapshot: Snapshot

    def leftovers(self, of: DestroySockets) -> Iterator[Socket]:
        """The sockets without an fd in that state on that address."""
        request = self.plan.request
        port = self.snapshot.port(request.protocol, request.port)
        for sock in (port and port.connections) or ():
            is_fdless = sock.mini or sock.inode == 0
            if is_fdless and (sock.state, sock.address) == (of.state, of.address):
                yield sock


Replan: TypeAlias = Callable[[], Replanned]
Destroy: TypeAlias = Callable[[Step], Generator[Event, Any, bool]]


def prove(
    plan: Plan,
    replan: Replan,
    cancel: Cancellation,
    destroy: Destroy,
    *,
    settle_s: float | None,
    longest_wait_s: float = LONGEST_WAIT_S,
) -> Iterator[Event]:
    """Look until the request succeeds or something stays; the verdict is the last event.

    After `settle_s` seconds it looks once more, since somebody may start again what was signalled;
    None if nothing was.
    What goes by itself is waited for, `longest_wait_s` at most.
    """
    started = time.monotonic()
    until = started + longest_wait_s
    told = ""
    while not cancel.is_set:
        now = replan().plan
        if now.is_free:
            if settle_s is None:
                yield _verdict(now)
                return
            cancel.wait(settle_s)
            settle_s = None
            continue
        if newcomer := _newcomer(plan, now):
            yield Event(EventKind.CAME_BACK, newcomer)
            yield _verdict(now)
            return
        if now.may_be_closing and time.monotonic() < started + CLOSING_S:
            cancel.wait(SOON_S)
            continue
        kinds = {step.kind for step in now.steps}
        if now.refusals or not kinds or kinds - {StepKind.WAIT, StepKind.DESTROY}:
            yield _verdict(now)
            return
        for step in now.steps:
            if step.kind == StepKind.DESTROY and not (yield from destroy(step)):
                yield _verdict(now)
                return
        if time.monotonic() >= until:
            yield _verdict(now)
            return
        waits = [step for step in now.steps if step.kind == StepKind.WAIT]
        if waits and waits[0].subject != told:
            told = waits[0].subject
            yield Event(EventKind.TOLD, waits[0].text + _with_flags(now), waits[0])
        pause_s = _pause(now.main.frees_in_s) if waits else SOON_S
        cancel.wait(min(pause_s, max(0.0, until - time.monotonic())))


def _pause(seconds: float | None) -> float:
    return LOOK_S if seconds is None else min(LOOK_BY_CLOCK_S, max(0.05, seconds + 0.01))


def _with_flags(now: Plan) -> str:
    """``; with SO_REUSEADDR it is free now``; nothing where no flag of the request helps."""
    options = [fix.options for fix in now.main.fixes if fix.options and fix.step == "or"]
    return f"; with {' and '.join(options[0])} it is free now" if options else ""


def _verdict(now: Plan) -> Event:
    verdict = now.main
    if verdict.outcome == "ok":
        return Event(EventKind.VERDICT, "the port is free", None, verdict)
    text = f"{verdict.outcome}"
    if verdict.cause is not None:
        text += f": {verdict.cause.text}"
    if verdict.frees_in_s is not None:
        text += f"; free in {math.ceil(verdict.frees_in_s)} s"
    return Event(EventKind.VERDICT, text, None, verdict)


def _newcomer(plan: Plan, now: Plan) -> str | None:
    """Who has a server on the port now and had none when the plan was made."""
    before = {(p.pid, p.start_ticks): p for p in _servers(plan)}
    for process in _servers(now):
        if (process.pid, process.start_ticks) not in before:
            who = process_name(process.name, process.pid)
            is_same = any(program(process) == program(old) for old in before.values())
            if not is_same:
                return f"{who} has taken the port meanwhile"
            return f"{who} has the port: it was started again{_by(process)}"
    return None


def _by(process: Process) -> str:
    """``, by supervisord(12)``, ``, as web.service``."""
    if process.unit is not None and process.unit.endswith(".service"):
        return f", as {process.unit}"
    if process.origin is not None and process.origin.container is not None:
        return f", in {process.origin.container.label}"
    if process.ancestors:
        parent = process.ancestors[0]
        return f", by {process_name(parent.name, parent.pid)}"
    return ""


def _servers(plan: Plan) -> list[Process]:
    holders = (
        holder
        for verdict in plan.verdicts
        for blocker in verdict.blockers
        if blocker.owner.state in SERVERS
        for holder in eldest_first(blocker.holders)
    )
    return [holder.process for holder in holders if holder.process is not None]
