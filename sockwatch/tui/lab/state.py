"""What the screen knows of the lab: it follows the news, and has no widget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from sockwatch.lab.model import Call
from sockwatch.lab.rehearsal import StepReport
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.stage import Place
from sockwatch.lab.step import Step
from sockwatch.model import Port, Snapshot
from sockwatch.tui.lab import news
from sockwatch.tui.lab.news import Member
from sockwatch.tui.watched import Watched

PLACES: Final[dict[Place, str]] = {"own": "own network namespace", "host": "host's loopback"}
Result = Literal["", "passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class StepView:
    """A step as far as it has come. `report` is None while it is under way."""

    number: int
    step: Step
    free: bool = False
    calls: tuple[Call, ...] = ()
    predicted: str | None = None
    report: StepReport | None = None


@dataclass(slots=True)
class PlayView:
    """What was done on one stage: the steps of a scenario and what free play added to them."""

    scenario: Scenario | None
    steps: list[StepView] = field(default_factory=list)
    result: Result = ""
    note: str = ""

    @property
    def left(self) -> bool:
        """Whether free play went on before the scenario was over."""
        return any(view.free for view in self.steps)

    @property
    def pending(self) -> Step | None:
        """The step that comes next."""
        if self.scenario is None or self.result or self.left:
            return None
        done = len(self.steps)
        return self.scenario.steps[done] if done < len(self.scenario.steps) else None


class LabState:
    """`plays` are the last ones of each scenario by its name, and of free play by ``""``.

    `ports` are the numbers that the servers of this stage have, or had, open.
    """

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        self.scenarios: tuple[Scenario | None, ...] = (None, *scenarios)
        self.place: Place = "own"
        self.watched: Watched | None = None
        self.many_uids = False
        self.refused = ""
        self.problem = ""
        self.busy = True
        self.cast: tuple[Member, ...] = ()
        self.ports: set[int] = set()
        self.plays = {_key(one): PlayView(one) for one in self.scenarios}
        self.on_stage = ""

    @property
    def play(self) -> PlayView:
        """The one on the stage."""
        return self.plays[self.on_stage]

    def play_of(self, scenario: Scenario | None) -> PlayView:
        return self.plays[_key(scenario)]

    def is_on_stage(self, scenario: Scenario | None) -> bool:
        return self.on_stage == _key(scenario)

    @property
    def row_on_stage(self) -> int:
        return next(n for n, one in enumerate(self.scenarios) if self.is_on_stage(one))

    @property
    def stage_words(self) -> str:
        """What is on the stage, and whether it goes on by itself."""
        if self.watched is None:
            return "no stage"
        name = "free play" if self.play.scenario is None else self.play.scenario.name
        return f"on stage: {name}, {'runs' if self.busy else 'waits'}"

    def mark(self, scenario: Scenario | None) -> str:
        """``ok``, ``FAIL``, ``skip``, ``runs``, how far it has come, or ``-`` for not run."""
        play = self.play_of(scenario)
        if play.result:
            return {"passed": "ok", "failed": "FAIL", "skipped": "skip"}[play.result]
        if self.busy and self.is_on_stage(scenario) and play.steps:
            return "runs"
        if scenario is None:
            return str(len(play.steps)) if play.steps else ""
        return f"{len(play.steps)}/{len(scenario.steps)}" if play.steps else "-"

    def shown_ports(self, snapshot: Snapshot) -> tuple[Port, ...]:
        """All ports of a stage of its own; on the host those that the lab has used."""
        if self.place == "own":
            return snapshot.ports
        return tuple(port for port in snapshot.ports if port.number in self.ports)

    def hear(self, one: news.News) -> None:
        match one:
            case news.StageComing(place):
                self.place, self.watched, self.refused, self.problem = place, None, "", ""
                self.ports = set()
            case news.StageReady(place, watched, many_uids):
                self.place, self.watched, self.many_uids = place, watched, many_uids
            case news.StageRefused(_, text):
                self.refused = text
            case news.PlayBegins(scenario):
                self.on_stage = _key(scenario)
                self.plays[self.on_stage] = PlayView(scenario)
            case news.CastChanged(members):
                self.cast = members
                self.ports |= {spec.port for member in members for spec in member.opened}
            case news.PlayEnded(passed, skipped, text):
                self.play.result = "failed" if not passed else "skipped" if skipped else "passed"
                self.play.note = text
            case news.Failed(text):
                self.problem = text
                if self.play.steps and self.play.steps[-1].report is None:
                    self.play.steps.pop()
                if not self.play.result and not self.play.left and self.play.scenario is not None:
                    self.play.result, self.play.note = "failed", f"FAILED: {text}"
            case news.Idle():
                self.busy = False
            case _:
                self._hear_of_step(one)

    def _hear_of_step(self, one: news.News) -> None:
        steps = self.play.steps
        match one:
            case news.StepBegins(step, free):
                self.problem = ""
                steps.append(StepView(len(steps) + 1, step, free))
            case news.Foretold(outcome):
                steps[-1] = replace(steps[-1], predicted=outcome)
            case news.Called(call):
                steps[-1] = replace(steps[-1], calls=(*steps[-1].calls, call))
            case news.StepDone(report):
                steps[-1] = replace(
                    steps[-1], calls=report.calls, predicted=report.predicted, report=report
                )


def _key(scenario: Scenario | None) -> str:
    return "" if scenario is None else scenario.name
