"""Carry out a plan, and prove what has come of it. It asks before it hurts, and tells each step."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from signal import SIGCONT, SIGKILL, SIGTERM, Signals
from typing import Any, Final, NamedTuple, TypeAlias

from sockwatch.act.cancel import Cancellation
from sockwatch.act.commands import run_command
from sockwatch.act.ending import ELSEWHERE, Pinned, is_there
from sockwatch.act.model import PATIENCE_S, EndTarget, Event, EventKind, Plan, Step, StepKind
from sockwatch.act.proof import LONGEST_WAIT_S, SETTLE_S, Replan, prove
from sockwatch.kernel.proc.holders import held_by
from sockwatch.kernel.sock_diag.destroy import destroy
from sockwatch.model import KernelError
from sockwatch.units import plural

FOLLOWS_S: Final = 2.0  # in which workers end by themselves once their master has
KILL_S: Final = 5.0  # in which SIGKILL ends a process that is not stuck in the kernel
LOOK_S: Final = 0.25  # between two looks at what a process holds
Inside: TypeAlias = Callable[[Callable[[], int]], int]


class Consent(NamedTuple):
    """Who is asked. `to_step` is about a step that asks() for itself, `to_kill` about SIGKILL.

    `to_kill` gets the targets that SIGTERM has not ended, or does nothing to.
    """

    to_step: Callable[[Step], bool]
    to_kill: Callable[[Step, Sequence[EndTarget]], bool]


def perform(
    plan: Plan,
    replan: Replan,
    consent: Consent,
    cancel: Cancellation,
    *,
    inside: Inside = lambda function: function(),
    patience_s: float = PATIENCE_S,
    settle_s: float = SETTLE_S,
    longest_wait_s: float = LONGEST_WAIT_S,
) -> Iterator[Event]:
    """Carry out the steps one after the other, then look whether the port is free.

    `replan` takes a new snapshot and plans anew. `inside` calls a function in the network namespace
    of the port. `patience_s` is how long SIGTERM has, `longest_wait_s` how long leftovers have,
    `settle_s` how long nobody may have started again what was signalled. The last event is VERDICT,
    or CANCELLED: then nothing has been proved. A step that fails, or that nobody agrees to, is the
    last one. Raises KernelError where a look fails.
    """
    work = _Work(replan, consent, cancel, inside, patience_s)
    for step in plan.steps:
        if step.kind == StepKind.WAIT:
            continue  # the proof waits
        if not (yield from work.carry_out(step)):
            break
        if cancel.is_set:
            break
    if not cancel.is_set:
        yield from prove(
            plan,
            replan,
            cancel,
            work.destroy,
            settle_s=settle_s if work.has_signalled else None,
            longest_wait_s=longest_wait_s,
        )
    if cancel.is_set:
        done = "; ".join(work.done) or "nothing has been done"
        yield Event(EventKind.CANCELLED, f"stopped: {done}")


Told: TypeAlias = Generator[Event, Any, bool]  # whether to go on


class _Work:
    def __init__(
        self,
        replan: Replan,
        consent: Consent,
        cancel: Cancellation,
        inside: Inside,
        patience_s: float,
    ) -> None:
        self.done: list[str] = []
        self.has_signalled = False
        self._replan = replan
        self._consent = consent
        self._cancel = cancel
        self._inside = inside
        self._patience_s = patience_s

    def carry_out(self, step: Step) -> Told:
        if step.asks and not self._consent.to_step(step):
            yield Event(EventKind.LET_BE, f"{step.subject} was let be", step)
            return False
        if self._cancel.is_set:
            return False
        yield Event(EventKind.BEGUN, step.text, step)
        if step.kind == StepKind.SIGNAL:
            return (yield from self._signal(step))
        if step.kind == StepKind.DESTROY:
            return (yield from self.destroy(step))
        return (yield from self._run(step))

    def destroy(self, step: Step) -> Told:
        """Destroy what a new look shows of the step's sockets."""
        if step.sockets is None:
            return True
        sockets = self._replan().leftovers(step.sockets)
        if self._cancel.is_set:
            return False
        try:
            count = self._inside(lambda: destroy(sockets))
        except KernelError as error:
            yield Event(EventKind.FAILED, str(error), step)
            return False
        destroyed = plural(count, "socket")
        self.done.append(f"{destroyed} destroyed")
        yield Event(EventKind.DONE, f"{destroyed} destroyed", step)
        return True

    def _run(self, step: Step) -> Told:
        """Stop a unit or a container, if a new look shows that it still has to be."""
        now = self._replan().plan
        if self._cancel.is_set:
            return False
        if all((each.kind, each.argv) != (step.kind, step.argv) for each in now.steps):
            yield Event(EventKind.LET_BE, f"{step.subject} is not in the way any more", step)
            return True
        environment = {}
        if step.manager_uid is not None and step.manager_uid == os.geteuid():
            environment["XDG_RUNTIME_DIR"] = f"/run/user/{step.manager_uid}"
        if step.kind == StepKind.STOP_CONTAINER:
            environment["HOME"] = os.path.expanduser("~")
        ran = run_command(step.argv, self._cancel, environment)
        if not ran.is_done:
            self.done.append(f"stopping {step.subject} was asked for")
            yield Event(EventKind.FAILED, ran.text, step)
            return False
        self.done.append(f"{step.subject} was stopped")
        yield Event(EventKind.DONE, f"{step.subject} is stopped", step)
        return True

    def _signal(self, step: Step) -> Told:
        pinned: list[Pinned] = []
        try:
            for target in step.targets:
                try:
                    pinned.append(Pinned(target))
                except ProcessLookupError:
                    if is_there(target):
                        yield Event(EventKind.FAILED, f"{target.name} {ELSEWHERE}", step)
                        return False
                    yield Event(EventKind.TOLD, f"{target.name} has ended", step)
                except OSError as error:
                    text = f"{target.name} cannot be signalled safely: {error.strerror}"
                    yield Event(EventKind.FAILED, text, step)
                    return False
            return (yield from self._end(step, pinned))
        finally:
            for each in pinned:
                each.close()

    def _end(self, step: Step, pinned: list[Pinned]) -> Told:
        if step.follows:
            self._wait(pinned, FOLLOWS_S)
        left = yield from self._valid(step, pinned)
        if left is None:
            return False
        if left and not step.by_sigkill:
            if not (yield from self._send(step, left, SIGTERM)):
                return False
            text = f"SIGTERM sent to {_names(left)}; up to {self._patience_s:g} s for it to end"
            yield Event(EventKind.TOLD, text, step)
            left = self._wait(left, self._patience_s)
        if left and not self._cancel.is_set:
            if not self._consent.to_kill(step, [each.target for each in left]):
                if self._cancel.is_set:
                    return False
                yield Event(
                    EventKind.LET_BE, f"{_names(left)} was not killed, and still runs", step
                )
                return False
            left = yield from self._valid(step, left)  # time has passed
            if left is None or not (yield from self._send(step, left, SIGKILL)):
                return False
            left = self._wait(left, KILL_S)
        if left:
            if not self._cancel.is_set:
                yield Event(EventKind.FAILED, f"{_names(left)} has not ended", step)
            return False
        yield Event(EventKind.DONE, f"{step.subject} has ended, or let go of the port", step)
        return True

    def _valid(
        self, step: Step, pinned: Sequence[Pinned]
    ) -> Generator[Event, Any, list[Pinned] | None]:
        """Those that are what was shown; None if one is another that should not be touched."""
        valid = []
        for each in pinned:
            mismatch = each.mismatch()
            if mismatch is None:
                valid.append(each)
            elif mismatch.is_gone:
                yield Event(EventKind.TOLD, mismatch.text, step)
            else:
                yield Event(EventKind.LET_BE, mismatch.text, step)
                return None
        return valid

    def _send(self, step: Step, pinned: Sequence[Pinned], number: Signals) -> Told:
        for each in pinned:
            if self._cancel.is_set:  # while it was waited, or looked
                return False
            try:
                each.signal(number)
                self.has_signalled = True
                self.done.append(f"{number.name} was sent to {each.target.name}")
                if number == SIGTERM and (each.target.stopped or each.is_stopped()):
                    each.signal(SIGCONT)
            except ProcessLookupError:
                continue
            except OSError as error:
                text = f"{number.name} to {each.target.name}: {error.strerror}"
                yield Event(EventKind.FAILED, text, step)
                return False
        return True

    def _wait(self, pinned: Sequence[Pinned], limit_s: float) -> list[Pinned]:
        """Those that have neither ended nor closed their sockets when the time is over."""
        left, until = list(pinned), time.monotonic() + limit_s
        while left and not self._cancel.is_set and (rest := until - time.monotonic()) > 0:
            self._cancel.wait(min(rest, LOOK_S), *left)
            left = [each for each in left if _still_holds(each)]
        return left


def _still_holds(pinned: Pinned) -> bool:
    return bool(held_by((pinned.target.pid,), pinned.target.inodes))


def _names(pinned: Sequence[Pinned]) -> str:
    return " and ".join(each.target.name for each in pinned)
