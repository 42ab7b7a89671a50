"""Steps done in a sandbox, each with what was predicted beside what the kernel answered."""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final

from sockwatch.bind.kernels import Quirk, quirks_of
from sockwatch.lab.model import EVERYWHERE, ClientSpec, LabError, ServerSpec, SystemCall
from sockwatch.lab.prediction import Prediction
from sockwatch.lab.process import PATIENCE_S, LabProcess
from sockwatch.lab.sandbox import Sandbox
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.step import Skipped, Step, StepResult

HOST_PORTS: Final = range(10_000, 32_768)  # below what outgoing connections usually get


@dataclass(frozen=True, slots=True)
class StepReport:
    """What became of a step. `skipped` is why it was not done.

    `kernel` is what the kernel answered or shows, `predicted` what sockwatch had said it would.
    """

    number: int
    step: Step
    calls: tuple[SystemCall, ...]
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


class Session:
    """The processes in a sandbox by their names, and one step after the other.

    Use it from one thread. `on_call` hears each system call as it happens, `on_prediction` each
    prediction before it is put to the test.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        on_call: Callable[[SystemCall], None] = lambda _: None,
        on_prediction: Callable[[Prediction], None] = lambda _: None,
    ) -> None:
        self.sandbox = sandbox
        self.on_prediction = on_prediction
        self.inodes: dict[str, int] = {}
        self.host_ports: dict[int, int] = {}
        self._processes: dict[str, LabProcess] = {}
        self._calls: list[SystemCall] = []
        self._on_call = on_call
        self._done = 0
        sandbox.on_call = self._record

    def run(self, step: Step) -> StepReport:
        """Do the step. Raises LabError, KernelError where the sandbox itself fails."""
        # A look at each point in time: what sockwatch remembers of sockets is part of what it says.
        self.sandbox.take_snapshot()
        self._calls = []
        self._done += 1
        skipped = None
        outcome = StepResult()
        try:
            outcome = step.run(self)
        except Skipped as reason:
            skipped = str(reason)
            if reason.rest:
                raise
        for process in self._processes.values():
            if process.alive:
                process.drain()
        calls = tuple(self._calls)
        return StepReport(self._done, step, calls, outcome.kernel, outcome.prediction, skipped)

    @property
    def processes(self) -> tuple[LabProcess, ...]:
        """The processes that are there."""
        return tuple(process for process in self._processes.values() if process.alive)

    def process(self, name: str) -> LabProcess:
        """The process, dead or alive. Raises LabError."""
        if name not in self._processes:
            raise LabError(f"there is no {name} in the sandbox")
        return self._processes[name]

    def get_or_start(self, name: str, uid: int | None = None) -> LabProcess:
        """The process, started if it is not there. Raises LabError."""
        process = self._processes.get(name)
        if process is None or not process.alive:
            process = self._processes[name] = self.sandbox.start(name, uid)
        return process

    def end(self, name: str) -> None:
        """The process ends."""
        self.sandbox.drop(self._processes.pop(name))

    def port(self, number: int) -> int:
        """The port that stands for this one of the scenario: another one on the host."""
        return self.host_ports.get(number, number)

    def server_here(self, spec: ServerSpec) -> ServerSpec:
        """The spec as it is in this sandbox. Raises LabError for what the host must not have."""
        address = self.sandbox.everywhere if spec.address == EVERYWHERE else spec.address
        placed = replace(spec, address=address, port=self.port(spec.port))
        self._check(placed.address, placed.port)
        return placed

    def client_here(self, spec: ClientSpec) -> ClientSpec:
        """The same for a client."""
        placed = replace(spec, to_port=self.port(spec.to_port), port=self.port(spec.port))
        self._check(placed.to, placed.to_port)
        self._check(placed.address or placed.to, placed.port)
        return placed

    def _check(self, address: str, port: int) -> None:
        if self.sandbox.network == "host" and (
            not ip_address(address).is_loopback or 0 < port < HOST_PORTS.start
        ):
            raise LabError(
                "on the host the lab uses only loopback addresses and ports from "
                f"{HOST_PORTS.start} up, not {address} port {port}"
            )

    def wait_for_all(self, processes: Sequence[LabProcess], event: str, count: int) -> list[int]:
        """Until these processes together have said so that often; how often each did."""
        if len(processes) == 1:
            processes[0].wait_for(event, count)
            return [count]
        counts = [process.pop_count(event) for process in processes]  # what was heard already
        while processes and sum(counts) < count:
            if not select.select(processes, [], [], PATIENCE_S)[0]:
                raise LabError(f"{sum(counts)} of {count} connections {event}")
            for place, process in enumerate(processes):
                process.drain()
                counts[place] += process.pop_count(event)
        return counts

    def _record(self, call: SystemCall) -> None:
        self._calls.append(call)
        self._on_call(call)


class Run:
    """A scenario in a sandbox, one step at a time."""

    def __init__(self, scenario: Scenario, session: Session) -> None:
        self.scenario = scenario
        self.reports: list[StepReport] = []
        self._session = session
        self.skipped = self._missing(session.sandbox)

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
            report = self._session.run(step)
        except Skipped as reason:
            report = StepReport(len(self.reports) + 1, step, (), skipped=str(reason))
            self.skipped = f"from step {report.number} on: {reason}"
        self.reports.append(report)
        return report

    def _missing(self, sandbox: Sandbox) -> str | None:
        """What the scenario needs and this sandbox has not."""
        if "own network" in self.scenario.needs and sandbox.network == "host":
            return "it needs a network of its own"
        snapshot = sandbox.take_snapshot()
        if "ipv6" in self.scenario.needs and not snapshot.facts.ipv6:
            return "it needs IPv6"
        if "linux 6.8" in self.scenario.needs and Quirk.BOUND_UNSEEN in quirks_of(snapshot.kernel):
            return "it needs Linux 6.8 or newer, which lists bound sockets"
        if sandbox.network == "host":
            taken = {port.number for port in snapshot.ports}
            first, last = snapshot.facts.port_range or (0, 0)
            free = (p for p in HOST_PORTS if p not in taken and not first <= p <= last)
            self._session.host_ports = dict(zip(self.scenario.ports, free, strict=False))
            if len(self._session.host_ports) < len(self.scenario.ports):
                return "no port of the host is free for it"
        return None

    @property
    def host_ports(self) -> Mapping[int, int]:
        """The port of the host that stands for each port of the scenario."""
        return self._session.host_ports
