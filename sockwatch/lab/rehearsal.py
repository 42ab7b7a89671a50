"""Steps done on a stage, each with what was predicted beside what the kernel answered."""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final

from sockwatch.bind.kernels import Quirk, quirks_of
from sockwatch.lab.actor import PATIENCE_S, Actor
from sockwatch.lab.model import EVERYWHERE, Call, ClientSpec, LabError, ServerSpec
from sockwatch.lab.prediction import Prediction
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.stage import Stage
from sockwatch.lab.step import Outcome, Skipped, Step

HOST_PORTS: Final = range(10_000, 32_768)  # below what outgoing connections usually get


@dataclass(frozen=True, slots=True)
class StepReport:
    """What became of a step. `skipped` is why it was not done.

    `kernel` is what the kernel answered or shows, `predicted` what sockwatch had said it would.
    """

    number: int
    step: Step
    calls: tuple[Call, ...]
    kernel: str | None = None
    prediction: Prediction | None = None
    skipped: str | None = None

    @property
    def predicted(self) -> str | None:
        return None if self.prediction is None else self.prediction.outcome

    @property
    def agreed(self) -> bool | None:
        """Whether the prediction was right; None if there was none."""
        if self.predicted is None or self.kernel is None:
            return None
        # Only bind() was predicted of a client; its connect() can still fail.
        later = ("connect ", "read ")
        return self.predicted == ("ok" if self.kernel.startswith(later) else self.kernel)

    @property
    def met(self) -> bool | None:
        """Whether the kernel did what the step expects; None if it expects nothing."""
        if self.step.expect is None or self.skipped is not None:
            return None
        return self.kernel == self.step.expect

    @property
    def good(self) -> bool:
        return self.agreed is not False and self.met is not False


class Rehearsal:
    """The processes on a stage by their names, and one step after the other.

    Use it from one thread. `tell` hears each system call as it happens, `foretell` each
    prediction before it is put to the test.
    """

    def __init__(
        self,
        stage: Stage,
        tell: Callable[[Call], None] = lambda _: None,
        foretell: Callable[[Prediction], None] = lambda _: None,
    ) -> None:
        self.stage = stage
        self.foretell = foretell
        self.inodes: dict[str, int] = {}
        self.played_by: dict[int, int] = {}
        self._cast: dict[str, Actor] = {}
        self._calls: list[Call] = []
        self._tell = tell
        self._done = 0
        stage.tell = self._heard

    def run(self, step: Step) -> StepReport:
        """Do the step. Raises LabError, KernelError where the stage itself fails."""
        # A look at each point in time: what sockwatch remembers of sockets is part of what it says.
        self.stage.look()
        self._calls = []
        self._done += 1
        skipped = None
        outcome = Outcome()
        try:
            outcome = step.run(self)
        except Skipped as reason:
            skipped = str(reason)
            if reason.rest:
                raise
        for actor in self._cast.values():
            if actor.alive:
                actor.drain()
        calls = tuple(self._calls)
        return StepReport(self._done, step, calls, outcome.kernel, outcome.prediction, skipped)

    @property
    def cast(self) -> tuple[Actor, ...]:
        """The processes that are there."""
        return tuple(actor for actor in self._cast.values() if actor.alive)

    def actor(self, name: str) -> Actor:
        """The process, dead or alive. Raises LabError."""
        if name not in self._cast:
            raise LabError(f"there is no {name} on the stage")
        return self._cast[name]

    def get_or_start(self, name: str, uid: int | None = None) -> Actor:
        """The process, started if it is not there. Raises LabError."""
        actor = self._cast.get(name)
        if actor is None or not actor.alive:
            actor = self._cast[name] = self.stage.start(name, uid)
        return actor

    def leave(self, name: str) -> None:
        """The process ends."""
        self.stage.drop(self._cast.pop(name))

    def port(self, number: int) -> int:
        """The port that plays this one of the scenario: another one on the host."""
        return self.played_by.get(number, number)

    def placed(self, spec: ServerSpec) -> ServerSpec:
        """The spec as it is on this stage. Raises LabError for what the host must not have."""
        address = self.stage.everywhere if spec.address == EVERYWHERE else spec.address
        placed = replace(spec, address=address, port=self.port(spec.port))
        self._check(placed.address, placed.port)
        return placed

    def placed_client(self, spec: ClientSpec) -> ClientSpec:
        """The same for a client."""
        placed = replace(spec, to_port=self.port(spec.to_port), port=self.port(spec.port))
        self._check(placed.to, placed.to_port)
        self._check(placed.address or placed.to, placed.port)
        return placed

    def _check(self, address: str, port: int) -> None:
        if self.stage.place == "host" and (
            not ip_address(address).is_loopback or 0 < port < HOST_PORTS.start
        ):
            raise LabError(
                f"on the host the lab keeps to loopback addresses and ports from "
                f"{HOST_PORTS.start} up, not {address} port {port}"
            )

    def wait_for_all(self, actors: Sequence[Actor], event: str, count: int) -> list[int]:
        """Until these processes together have said so that often; how often each did."""
        if len(actors) == 1:
            actors[0].wait_for(event, count)
            return [count]
        counts = [actor.taken(event) for actor in actors]  # what was heard already
        while actors and sum(counts) < count:
            if not select.select(actors, [], [], PATIENCE_S)[0]:
                raise LabError(f"{sum(counts)} of {count} connections {event}")
            for place, actor in enumerate(actors):
                actor.drain()
                counts[place] += actor.taken(event)
        return counts

    def _heard(self, call: Call) -> None:
        self._calls.append(call)
        self._tell(call)


class Play:
    """A scenario on a stage, one step at a time."""

    def __init__(self, scenario: Scenario, rehearsal: Rehearsal) -> None:
        self.scenario = scenario
        self.reports: list[StepReport] = []
        self._rehearsal = rehearsal
        self.skipped = self._missing(rehearsal.stage)

    @property
    def done(self) -> bool:
        return self.skipped is not None or len(self.reports) == len(self.scenario.steps)

    @property
    def passed(self) -> bool:
        """Whether every prediction was right and every expectation met, as far as it was done."""
        return all(report.good for report in self.reports)

    def next(self) -> StepReport:
        """Do the next step. Raises LabError, KernelError."""
        step = self.scenario.steps[len(self.reports)]
        try:
            report = self._rehearsal.run(step)
        except Skipped as reason:
            report = StepReport(len(self.reports) + 1, step, (), skipped=str(reason))
            self.skipped = f"from step {report.number} on: {reason}"
        self.reports.append(report)
        return report

    def _missing(self, stage: Stage) -> str | None:
        """What the scenario needs and this stage has not."""
        if "own network" in self.scenario.needs and stage.place == "host":
            return "it needs a network of its own"
        snapshot = stage.look()
        if "ipv6" in self.scenario.needs and not snapshot.facts.ipv6:
            return "it needs IPv6"
        if "linux 6.8" in self.scenario.needs and Quirk.BOUND_UNSEEN in quirks_of(snapshot.kernel):
            return "it needs Linux 6.8 or newer, which lists bound sockets"
        if stage.place == "host":
            taken = {port.number for port in snapshot.ports}
            first, last = snapshot.facts.port_range or (0, 0)
            free = (p for p in HOST_PORTS if p not in taken and not first <= p <= last)
            self._rehearsal.played_by = dict(zip(self.scenario.ports, free, strict=False))
            if len(self._rehearsal.played_by) < len(self.scenario.ports):
                return "no port of the host is free for it"
        return None

    @property
    def played_by(self) -> Mapping[int, int]:
        """Which port of the host plays which one of the scenario."""
        return self._rehearsal.played_by
