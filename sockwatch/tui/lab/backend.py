"""What the lab screen works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sockwatch.lab.model import Network
from sockwatch.lab.sandbox import Sandbox
from sockwatch.lab.scenario import Scenario, all_scenarios


@dataclass(frozen=True, slots=True)
class LabBackend:
    """`pause_s` is how long a run waits before each test and each step, for human eyes."""

    sandbox: Callable[[Network], Sandbox] = Sandbox
    scenarios: Callable[[], tuple[Scenario, ...]] = all_scenarios
    pause_s: float = 0.5
