"""What the lab's thread reports to the screen, as frozen values."""

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
    """A sandbox is being set up; the one before is closed."""

    network: Network


@dataclass(frozen=True, slots=True)
class SandboxReady:
    """The sandbox is up. `watched` polls it; `many_uids` allows servers of other users."""

    network: Network
    watched: Watched
    many_uids: bool


@dataclass(frozen=True, slots=True)
class SandboxRefused:
    """The sandbox could not be set up; `text` says why."""

    network: Network
    text: str


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run starts in an unused sandbox; without a scenario it is free play."""

    scenario: Scenario | None


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step is under way; a `free` one belongs to no scenario."""

    step: Step
    free: bool


@dataclass(frozen=True, slots=True)
class Predicted:
    """What sockwatch predicts, before the kernel is asked."""

    prediction: Prediction


@dataclass(frozen=True, slots=True)
class CallMade:
    """A system call was made, and answered."""

    call: SystemCall


@dataclass(frozen=True, slots=True)
class StepFinished:
    """The step under way is over."""

    report: StepReport


@dataclass(frozen=True, slots=True)
class ProcessesChanged:
    """A process has started, exited, stopped, or opened a socket: all that are running."""

    processes: tuple[ProcessView, ...]


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The scenario is over, or the rest of it is `skipped`; `text` says how it went."""

    passed: bool
    skipped: bool
    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The sandbox failed, and with it the step under way; `text` says why."""

    text: str


@dataclass(frozen=True, slots=True)
class Idle:
    """No step is under way and no command waits."""


LabEvent: TypeAlias = (
    SandboxStarting | SandboxReady | SandboxRefused | RunStarted | StepStarted | Predicted
    | CallMade | StepFinished | ProcessesChanged | RunFinished | Failed | Idle
)  # fmt: skip
