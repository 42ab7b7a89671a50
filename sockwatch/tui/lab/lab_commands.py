"""What the screen asks of the lab's thread, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sockwatch.lab.model import Network
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.step import Step


@dataclass(frozen=True, slots=True)
class OpenSandbox:
    """Set a sandbox up."""

    network: Network


# `step` is one step; `reading` goes on as fast as one reads, up to a question; `whole` to the end.
Pace = Literal["step", "reading", "whole"]


@dataclass(frozen=True, slots=True)
class RunScenario:
    """Run what is left of the scenario at this pace; if it is over, start it again."""

    scenario: Scenario
    pace: Pace


@dataclass(frozen=True, slots=True)
class Reset:
    """Make a fresh sandbox for the scenario, or for free play if None."""

    scenario: Scenario | None


@dataclass(frozen=True, slots=True)
class RunSteps:
    """Free play: run these steps in the sandbox as it is. A scenario in it does not go on."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run after the step under way, as every other command does."""


LabCommand: TypeAlias = OpenSandbox | RunScenario | Reset | RunSteps | Stop
