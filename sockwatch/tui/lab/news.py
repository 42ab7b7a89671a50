"""What the lab's thread tells the screen, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sockwatch.lab.model import Call, ServerSpec
from sockwatch.lab.rehearsal import StepReport
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.stage import Place
from sockwatch.lab.step import Step
from sockwatch.tui.watched import Watched


@dataclass(frozen=True, slots=True)
class Member:
    """A process on the stage. `opened` are the specs of its open sockets."""

    name: str
    pid: int
    opened: tuple[ServerSpec, ...] = ()
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class StageComing:
    """What was there before is gone; a fresh stage is being set up."""

    place: Place


@dataclass(frozen=True, slots=True)
class StageReady:
    """`watched` looks at it; `many_uids` says whether other users may have servers on it."""

    place: Place
    watched: Watched
    many_uids: bool


@dataclass(frozen=True, slots=True)
class StageRefused:
    """The stage could not be set up, in a sentence."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class PlayBegins:
    """The stage is fresh; None is free play."""

    scenario: Scenario | None


@dataclass(frozen=True, slots=True)
class StepBegins:
    """A step is under way; `free` says that it comes from no scenario."""

    step: Step
    free: bool


@dataclass(frozen=True, slots=True)
class Foretold:
    """What sockwatch says the kernel will answer, before it is put to the test."""

    outcome: str


@dataclass(frozen=True, slots=True)
class Called:
    """A system call, as it was answered."""

    call: Call


@dataclass(frozen=True, slots=True)
class StepDone:
    """The step under way is over."""

    report: StepReport


@dataclass(frozen=True, slots=True)
class CastChanged:
    """The processes that are there."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class PlayEnded:
    """Every step of the scenario is done, or not, if `skipped`; `text` says how it went."""

    passed: bool
    skipped: bool
    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The stage did not do what was asked, in a sentence; the step under way is lost."""

    text: str


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing runs and nothing is asked for any more."""


News: TypeAlias = (
    StageComing | StageReady | StageRefused | PlayBegins | StepBegins | Foretold | Called
    | StepDone | CastChanged | PlayEnded | Failed | Idle
)  # fmt: skip
