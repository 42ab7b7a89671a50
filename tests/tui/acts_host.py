"""A host of root, and what stands for the work on its port 80."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from sockwatch.act.model import Event, EventKind, Plan, Step
from sockwatch.model import HostFacts, Snapshot
from sockwatch.tui.app import SockwatchApp
from sockwatch.tui.screens.acts import ActsScreen
from tests.support import build
from tests.support.build import holder, port, process, socket
from tests.tui.host import Host, screen_lines, shows, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.pilot import Pilot

    from sockwatch.act.cancel import Cancellation
    from sockwatch.act.perform import Consent
    from sockwatch.act.proof import Replan
    from sockwatch.model import Port

SIZES = [(80, 24), (120, 40)]
ROOT = HostFacts(uid=0)


class RootHost(Host):
    """A host of which root sees everything."""

    def take(self, number: int | None) -> Snapshot:
        return replace(super().take(number), facts=ROOT)


def app_server(pid: int = 7, name: str = "app") -> Port:
    """80/tcp, of one process that no unit has."""
    by = (holder(process(pid, name)._replace(start_ticks=pid)),)
    return port(80, listeners=(socket("LISTEN", "0.0.0.0", 80, flags=build.A, holders=by),))


class Work:
    """Stands for sockwatch.act.perform: it tells a story and signals nobody."""

    def __init__(self, host: Host, *, is_deaf: bool = False) -> None:
        self.host = host
        self.is_deaf = is_deaf
        self.plans: list[Plan] = []
        self.agreed: bool | None = None
        self.holds = threading.Event()  # set: the first step ends
        self.ended = threading.Event()

    def __call__(
        self, plan: Plan, replan: Replan, consent: Consent, cancel: Cancellation
    ) -> Iterator[Event]:
        self.plans.append(plan)
        try:
            yield from self._story(plan.steps[0], replan, consent, cancel)
        finally:
            self.ended.set()

    def _story(
        self, step: Step, replan: Replan, consent: Consent, cancel: Cancellation
    ) -> Iterator[Event]:
        yield Event(EventKind.BEGUN, step.text, step)
        yield Event(EventKind.TOLD, f"SIGTERM sent to {step.subject}; up to 10 s", step)
        while not self.holds.is_set() and not cancel.is_set:
            cancel.wait(0.01)
        if self.is_deaf and not cancel.is_set:
            self.agreed = consent.to_kill(step, step.targets)
        if cancel.is_set:
            yield Event(EventKind.CANCELLED, f"stopped: SIGTERM was sent to {step.subject}")
            return
        self.host.ports = []
        yield Event(EventKind.DONE, f"{step.subject} has ended", step)
        verdict = replan().plan.verdict
        yield Event(EventKind.VERDICT, "the port is free", None, verdict)


async def opened(pilot: Pilot[int], host: Host, number: int = 80) -> ActsScreen:
    """The menu of the port under the cursor, after its first own look."""
    await pilot.press("space")
    await wait_for(pilot, lambda: host.asked[-1] == number)
    await shows(pilot, "Enter choose")
    await wait_for(pilot, lambda: not pilot.app.screen.fresh)  # type: ignore[attr-defined]
    assert isinstance(pilot.app.screen, ActsScreen)
    return pilot.app.screen


async def asked(pilot: Pilot[int], host: Host) -> None:
    """The plan to free port 80, and its question."""
    await shows(pilot, "app 7")
    await opened(pilot, host)
    await pilot.press("enter")
    await shows(pilot, "type 80 and Enter to do this:")


def text_of(pilot: Pilot[int]) -> str:
    return "\n".join(screen_lines(pilot.app))


def poll(pilot: Pilot[int]) -> None:
    """Look once more: the menu takes the keys of the app."""
    assert isinstance(pilot.app, SockwatchApp)
    pilot.app.poller.poll_now()
