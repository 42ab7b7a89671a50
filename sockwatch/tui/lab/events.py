"""What the lab's thread tells the screen, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sockwatch.lab.model import Network, ServerSpec, SystemCall
from sockwatch.lab.prediction import Prediction
from sockwatch.lab.run import StepReport
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.step import Step
from sockwatch.tui.watched import Watched


@dataclass(frozen=True, slots=True)
class ProcessView:
    """A process in the sandbox. `opened` are the specs of its open sockets."""

    name: str
    pid: int
    opened: tuple[ServerSpec, ...] = ()
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class SandboxStarting:
    """What was there before is gone; a fresh sandbox is being set up."""

    network: Network


@dataclass(frozen=True, slots=True)
class SandboxReady:
    """`watched` looks at it; `many_uids` says whether other users may have servers on it."""

    network: Network
    watched: Watched
    many_uids: bool


@dataclass(frozen=True, slots=True)
class SandboxRefused:
    """The sandbox could not be set up, in a sentence."""

    network: Network
    text: str


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The sandbox is fresh; None is free play."""

    scenario: Scenario | None


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step is under way; `free` says that it comes from no scenario."""

    step: Step
    free: bool


@dataclass(frozen=True, slots=True)
class Predicted:
    """What sockwatch says the kernel will answer, before it is put to the test."""

    prediction: Prediction


@dataclass(frozen=True, slots=True)
class CallMade:
    """A system call, as it was answered."""

    call: SystemCall


@dataclass(frozen=True, slots=True)
class StepFinished:
    """The step under way is over."""

    report: StepReport


@dataclass(frozen=True, slots=True)
class ProcessesChanged:
    """The processes that are there."""

    processes: tuple[ProcessView, ...]


@dataclass(frozen=True, slots=True)
class RunFinished:
    """Every step of the scenario is done, or not, if `skipped`; `text` says how it went."""

    passed: bool
    skipped: bool
    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The sandbox did not do what was asked, in a sentence; the step under way is lost."""

    text: str


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing runs and nothing is asked for any more."""


LabEvent: TypeAlias = (
    SandboxStarting | SandboxReady | SandboxRefused | RunStarted | StepStarted | Predicted
    | CallMade | StepFinished | ProcessesChanged | RunFinished | Failed | Idle
)  # fmt: skip
