"""What the screen knows of the lab from its events; no widgets here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Literal

from sockwatch.lab.languages.translation import ENGLISH, Translation
from sockwatch.lab.model import Network
from sockwatch.lab.quiz import Score, choices, is_set_for_question, score
from sockwatch.lab.run import StepReport
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.step import Step
from sockwatch.model import Port, Snapshot
from sockwatch.tui.lab import events
from sockwatch.tui.lab.events import ProcessView
from sockwatch.tui.lab.lab_commands import Pace
from sockwatch.tui.watched import Watched

Result = Literal["", "passed", "failed", "skipped"]


@dataclass(slots=True)
class RunView:
    """What was done in one sandbox: the steps of a scenario and what free play added to them.

    `left` says that free play has added some, so that the scenario does not go on. `result` is
    empty until the run is over; `note` says how it ended. `bets` are on answers of the kernel, by
    the number of the step.
    """

    scenario: Scenario | None
    steps: list[StepReport] = field(default_factory=list)
    left: bool = False
    result: Result = ""
    note: str = ""
    bets: dict[int, str] = field(default_factory=dict)

    @property
    def pending(self) -> Step | None:
        """The step that comes next."""
        return next(iter(self._left_to_do(len(self.steps))), None)

    @property
    def ready_for_question(self) -> bool:
        """Whether the ports of the sandbox would give away the answer to the next question."""
        done = sum(report.done for report in self.steps)
        return is_set_for_question(self._left_to_do(done))

    def bet_on(self, answer: str) -> None:
        """Bet on the kernel's answer to the step that comes next."""
        self.bets[len(self.steps) + 1] = answer

    @property
    def score(self) -> Score:
        return score(self.steps, self.bets)

    def _left_to_do(self, done: int) -> tuple[Step, ...]:
        if self.scenario is None or self.result or self.left:
            return ()
        return self.scenario.steps[done:]


class LabState:
    """`runs` has the last run of each scenario by its name, and of free play by ``""``.

    `ports` are the numbers that the servers of this sandbox have, or had, open. `paced` is the
    scenario that was last asked to run, and `pace` how.
    """

    def __init__(self, scenarios: Sequence[Scenario], say: Translation = ENGLISH) -> None:
        self._say = say
        self.scenarios: tuple[Scenario | None, ...] = (None, *scenarios)
        self.network: Network = "own"
        self.watched: Watched | None = None
        self.many_uids = False
        self.refused = ""
        self.problem = ""
        self.busy = True
        self.processes: tuple[ProcessView, ...] = ()
        self.ports: set[int] = set()
        self.runs = {_key(one): RunView(one) for one in self.scenarios}
        self.current = ""
        self.paced: Scenario | None = None
        self.pace: Pace = "step"
        self._earlier = Score()

    @property
    def run(self) -> RunView:
        """The run in the sandbox."""
        return self.runs[self.current]

    def run_of(self, scenario: Scenario | None) -> RunView:
        return self.runs[_key(scenario)]

    def is_current(self, scenario: Scenario | None) -> bool:
        return self.current == _key(scenario)

    @property
    def question(self) -> Step | None:
        """The step that the run waits before, if it is a question; one can bet on the answer."""
        pending = self.run.pending
        return None if self.busy or pending is None or not choices(pending) else pending

    @property
    def covered(self) -> bool:
        """Whether what the ports say about the next bind() has to wait."""
        return self.pace != "whole" and self.run.ready_for_question

    @property
    def score(self) -> Score:
        """Of all bets in this lab."""
        return reduce(Score.plus, (run.score for run in self.runs.values()), self._earlier)

    @property
    def current_row(self) -> int:
        return next(n for n, one in enumerate(self.scenarios) if self.is_current(one))

    @property
    def sandbox_text(self) -> str:
        """What is in the sandbox, and whether it is running."""
        if self.watched is None:
            return self._say("no sandbox")
        name = self._say("free play") if self.run.scenario is None else self.run.scenario.name
        return self._say(
            "sandbox: {name}, running" if self.busy else "sandbox: {name}, waiting", name=name
        )

    def mark(self, scenario: Scenario | None) -> str:
        """``ok``, ``FAIL``, ``skip``, ``runs``, ``3/8`` steps, or ``-`` if it has not run."""
        run = self.run_of(scenario)
        if run.result:
            return {"passed": "ok", "failed": "FAIL", "skipped": "skip"}[run.result]
        if self.busy and self.is_current(scenario) and run.steps:
            return "runs"
        if scenario is None:
            return str(len(run.steps)) if run.steps else ""
        return f"{len(run.steps)}/{len(scenario.steps)}" if run.steps else "-"

    def shown_ports(self, snapshot: Snapshot) -> tuple[Port, ...]:
        """All ports of an own network; on the host those that the lab has used."""
        if self.network == "own":
            return snapshot.ports
        return tuple(port for port in snapshot.ports if port.number in self.ports)

    def apply(self, event: events.LabEvent) -> None:
        """Take in what the thread reports."""
        match event:
            case events.SandboxStarting(network):
                self.network, self.watched, self.refused, self.problem = network, None, "", ""
                self.ports = set()
            case events.SandboxReady(network, watched, many_uids):
                self.network, self.watched, self.many_uids = network, watched, many_uids
            case events.SandboxRefused(_, text):
                self.refused = text
            case events.RunStarted(scenario):
                self.current = _key(scenario)
                self._earlier = self._earlier.plus(self.run.score)
                self.runs[self.current] = RunView(scenario)
            case events.ProcessesChanged(processes):
                self.processes = processes
                self.ports |= {spec.port for process in processes for spec in process.opened}
            case events.RunFinished(passed, skipped, text):
                self.run.result = "failed" if not passed else "skipped" if skipped else "passed"
                self.run.note = text
            case events.Failed(text):
                self.problem = text
                if self.run.steps and not self.run.steps[-1].done:
                    self.run.steps.pop()
                if not self.run.result and not self.run.left and self.run.scenario is not None:
                    self.run.result, self.run.note = (
                        "failed",
                        self._say("FAILED: {said}", said=text),
                    )
            case events.Idle():
                self.busy = False
            case _:
                self._apply_to_step(event)

    def _apply_to_step(self, event: events.LabEvent) -> None:
        steps = self.run.steps
        match event:
            case events.StepStarted(step, free):
                self.problem = ""
                self.run.left |= free
                steps.append(StepReport(len(steps) + 1, step, done=False))
            case events.Predicted(prediction):
                steps[-1] = replace(steps[-1], prediction=prediction)
            case events.CallMade(call):
                steps[-1] = replace(steps[-1], calls=(*steps[-1].calls, call))
            case events.StepFinished(report):
                steps[-1] = replace(report, number=len(steps))


def _key(scenario: Scenario | None) -> str:
    return "" if scenario is None else scenario.name
