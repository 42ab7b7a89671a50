"""What the lab's screen works with, so that tests can replace it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from sockwatch.lab.model import Network
from sockwatch.lab.sandbox import Sandbox
from sockwatch.lab.scenario import Scenario, all_scenarios


@dataclass(frozen=True, slots=True)
class LabBackend:
    """`pause_s` is how long a run pauses after each prediction and each step, for human eyes.

    At reading pace it pauses longer. `wait` is what it pauses with: until the event, or so many
    seconds.
    """

    sandbox: Callable[[Network], Sandbox] = Sandbox
    scenarios: Callable[[], tuple[Scenario, ...]] = all_scenarios
    pause_s: float = 0.2
    wait: Callable[[Event, float], object] = Event.wait
