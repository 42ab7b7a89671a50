"""Steps carried out: one at a time, or those of a scenario one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sockwatch.lab.model import HOST_PORTS, SystemCall
from sockwatch.lab.prediction import Prediction
from sockwatch.lab.sandbox import Sandbox
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.session import Session
from sockwatch.lab.step import Skipped, Step, StepResult
from sockwatch.model import GapCode


@dataclass(frozen=True, slots=True)
class StepReport:
    """What has become of a step, so far if it is not `done`.

    `kernel` is what the kernel answered or what the tables show; None if the step asks for neither.
    `skipped` is why it was not carried out.
    """

    number: int
    step: Step
    calls: tuple[SystemCall, ...] = ()
    kernel: str | None = None
    prediction: Prediction | None = None
    skipped: str | None = None
    done: bool = True

    @property
    def predicted(self) -> str | None:
        """What sockwatch predicted; None if it is no step that binds or listens."""
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
        """Whether neither the prediction nor the expectation was wrong."""
        return self.agreed is not False and self.met is not False


def run_step(session: Session, step: Step, number: int = 1) -> StepReport:
    """Carry out the step. Raises LabError, KernelError, and Skipped if the rest goes with it."""
    # Verdicts use what earlier snapshots have shown of a socket, so take one before each step.
    session.sandbox.take_snapshot()
    result, skipped = StepResult(), None
    try:
        result = step.run(session)
    except Skipped as reason:
        if reason.rest:
            raise
        skipped = str(reason)
    finally:
        calls = session.take_calls()
    return StepReport(number, step, calls, result.kernel, result.prediction, skipped)


class Run:
    """A scenario in a sandbox, one step at a time."""

    def __init__(self, scenario: Scenario, session: Session) -> None:
        self.scenario = scenario
        self.reports: list[StepReport] = []
        self._session = session
        self.skipped = self._missing(session.sandbox)

    @property
    def done(self) -> bool:
        """Whether no step is left to do."""
        return self.skipped is not None or len(self.reports) == len(self.scenario.steps)

    @property
    def following(self) -> Step:
        """The step that comes next, unless the run is `done`."""
        return self.scenario.steps[len(self.reports)]

    @property
    def passed(self) -> bool:
        """Whether every prediction was right and every expectation met, as far as it was done."""
        return all(report.good for report in self.reports)

    def next(self) -> StepReport:
        """Do the next step. Raises LabError, KernelError."""
        number, step = len(self.reports) + 1, self.following
        try:
            report = run_step(self._session, step, number)
        except Skipped as reason:
            report = StepReport(number, step, skipped=str(reason))
            self.skip_rest(str(reason))
        self.reports.append(report)
        return report

    def skip_rest(self, reason: str) -> None:
        """End the run before the step that would come next."""
        self.skipped = f"from step {len(self.reports) + 1} on: {reason}"

    def _missing(self, sandbox: Sandbox) -> str | None:
        """What the scenario needs and this sandbox lacks; None if nothing."""
        if "own network" in self.scenario.needs and sandbox.network == "host":
            return "it needs a network of its own"
        snapshot = sandbox.take_snapshot()
        if "ipv6" in self.scenario.needs and not snapshot.facts.ipv6:
            return "it needs IPv6"
        gaps = {gap.code for gap in snapshot.gaps}
        if "bound sockets" in self.scenario.needs and GapCode.BOUND_NOT_VISIBLE in gaps:
            return "it needs Linux 6.8 or newer, or 5.11 and root, to show bound sockets"
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
