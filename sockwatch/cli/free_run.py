"""Carry out `sockwatch free`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from sockwatch.act.cancel import Cancellation
from sockwatch.act.free import plan_pair
from sockwatch.act.model import EndTarget, Event, Plan, Step, StepKind
from sockwatch.act.perform import Consent, perform
from sockwatch.act.proof import LONGEST_WAIT_S, Replan, Replanned
from sockwatch.bind.pair import RequestPair
from sockwatch.cli.command import UsageError
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.free_document import free_document
from sockwatch.cli.look import take_snapshot
from sockwatch.cli.output import narrate, write_data, write_json
from sockwatch.cli.place import Place
from sockwatch.cli.request import asked_requests, verdicts_exit_code
from sockwatch.cli.terminal import ask, can_ask
from sockwatch.model import Snapshot
from sockwatch.view.lines import Line, wrapped
from sockwatch.view.outside import from_outside, where
from sockwatch.view.plan import kill_question, plan_lines, step_question
from sockwatch.view.who import who_lines

WIDTH: Final = 80
READONLY: Final = "--readonly disables free, since it stops servers; --dry-run prints the plan"
IN_VAIN: Final = "that does not free the port, since something else in the way is let be"
NOBODY: Final = "there is no terminal to ask at; --yes agrees to the plan"


def run(options: argparse.Namespace) -> ExitCode:
    """Plan, ask, act and prove. Raises UsageError, KernelError."""
    if options.readonly and not options.dry_run:
        raise UsageError(READONLY)
    with Place(options.netns) as place, Cancellation() as cancel:
        pair = _pair(options, place)
        session = _Session(options, place, pair, cancel)
        first = session.replan()
        if first.plan.may_be_closing:
            first = session.replan()
        plan = first.plan
        _check_named(options.pids, plan)
        if not options.json:
            write_data("".join(f"{line}\n" for line in _lines(first, place)))
        if plan.is_free or not plan.steps or options.dry_run:
            session.write_document(first, ())
            return verdicts_exit_code(plan.verdicts)
        if not session.agreed(first):
            session.write_document(first, ())
            if cancel.is_set:
                return ExitCode.INTERRUPTED
            narrate("nothing was done")
            return ExitCode.NO
        events = session.act(plan)
        session.write_document(first, events)
        if cancel.is_set:
            return ExitCode.INTERRUPTED
        return verdicts_exit_code(event.verdict for event in events if event.verdict is not None)


@dataclass
class _Session:
    """One run of the command."""

    options: argparse.Namespace
    place: Place
    pair: RequestPair
    cancel: Cancellation

    def replan(self) -> Replanned:
        options = self.options
        snapshot = take_snapshot(self.pair.request.port, self.place, debug=options.debug)
        named = frozenset(options.pids or ())
        return Replanned(
            plan_pair(self.pair, snapshot, destroy=options.destroy, named=named), snapshot
        )

    def agreed(self, first: Replanned) -> bool:
        """Whether the plan may be carried out; to wait takes nobody's consent."""
        _interrupt_by(self.cancel)
        steps = [s for s in first.plan.steps if s.kind != StepKind.WAIT and not s.asks]
        heirs = [s.targets[0] for s in first.plan.steps if s.asks]
        if heirs and not can_ask():  # without them, the others would end in vain
            pids = " ".join(f"--pid {heir.pid}" for heir in heirs)
            raise UsageError(f"{heirs[0].name} only inherited the socket; {pids} agrees to end it")
        if not steps:
            return True
        if self.options.yes:
            if not first.plan.may_suffice:
                narrate(IN_VAIN)
            return first.plan.may_suffice
        if not can_ask():
            raise UsageError(NOBODY)
        if self.options.json:  # the plan is not on stdout
            sys.stderr.write("".join(f"{line}\n" for line in _lines(first, self.place)))
        questions = [step_question(step, first.plan.time) for step in steps]
        return self._ask(questions if first.plan.may_suffice else (IN_VAIN, *questions))

    def act(self, plan: Plan) -> Sequence[Event]:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # what is begun is told, or done in silence
        events = []
        replan: Replan = self.replan
        consent = Consent(partial(self._to_step, plan), partial(self._to_kill, plan))
        longest_s = 0.0 if self.options.no_wait else LONGEST_WAIT_S
        for event in perform(
            plan,
            replan,
            consent,
            self.cancel,
            inside=self.place.run,
            longest_wait_s=longest_s,
        ):
            narrate(event.text)
            events.append(event)
        return events

    def write_document(self, first: Replanned, events: Sequence[Event]) -> None:
        if self.options.json:
            write_json(free_document(first.plan, first.snapshot, events))

    def _to_step(self, plan: Plan, step: Step) -> bool:
        return self._ask([step_question(step, plan.time)])

    def _to_kill(self, plan: Plan, step: Step, targets: Sequence[EndTarget]) -> bool:
        if self.options.kill:
            return True
        if can_ask() and not self.options.yes:
            return self._ask([kill_question(targets, plan.time)])
        names = " and ".join(target.name for target in targets)
        why = "ends by SIGKILL alone" if step.by_sigkill else "did not end by SIGTERM"
        narrate(f"{names} {why}; --kill agrees to SIGKILL")
        return False

    def _ask(self, questions: Iterable[str]) -> bool:
        return ask((f"sockwatch: {question}" for question in questions), self.cancel)


def _pair(options: argparse.Namespace, place: Place) -> RequestPair:
    pairs = asked_requests(options, place)
    if len(pairs) != 1:
        raise UsageError(f"these are {len(pairs)} ports; free one at a time")
    if pairs[0].request.port == 0:
        raise UsageError("port 0 lets the kernel choose a free port: there is none to free")
    return pairs[0]


def _check_named(pids: Sequence[int] | None, plan: Plan) -> None:
    """Who names a process does not mean the others: raises UsageError if it would not be ended."""
    known = {target.pid for target in plan.targets}
    for pid in pids or ():
        if plan.steps and pid not in known:
            raise UsageError(f"--pid {pid} is no process that the plan ends; --dry-run prints it")


def _lines(replanned: Replanned, place: Place) -> Iterable[Line]:
    """Who has the port, and the plan."""
    plan, snapshot = replanned
    who = who_lines(plan.request, snapshot)
    if place.netns is not None:
        title = next(who)
        yield title._replace(text=f"{where(snapshot.netns)}, {title.text}")
        plan = _as_typed(plan, snapshot)
    yield from wrapped((*who, *plan_lines(plan)), WIDTH)


def _as_typed(plan: Plan, snapshot: Snapshot) -> Plan:
    """The plan with its commands as they have to be typed where the asker is."""
    from dataclasses import replace

    from sockwatch.bind.model import Fix

    steps = []
    for step in plan.steps:
        fix = from_outside(Fix(step.text, step.command, step.in_netns), snapshot.netns)
        steps.append(replace(step, command=fix.command))
    advice = tuple(from_outside(fix, snapshot.netns) for fix in plan.advice)
    return replace(plan, steps=tuple(steps), advice=advice)


def _interrupt_by(cancel: Cancellation) -> None:
    """Let the first SIGINT end what waits, and the second one this process."""

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        cancel.cancel()

    signal.signal(signal.SIGINT, interrupt)
