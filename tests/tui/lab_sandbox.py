"""A sandbox of fake processes: pids, ports and times are the same every time."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event
from typing import Any

from sockwatch.lab.model import ClientSpec, LabError, Network, ServerSpec, SystemCall
from sockwatch.lab.observations import See
from sockwatch.lab.prediction import predict_server
from sockwatch.lab.process import LabProcess
from sockwatch.lab.sandbox import Sandbox
from sockwatch.lab.scenario import Scenario
from sockwatch.lab.steps import Connect, EndTimeWaits, ServerCloses, Signal, Start
from sockwatch.model import HostFacts, Port, ReuseFlags, Snapshot
from sockwatch.tui.app import SockwatchApp
from sockwatch.tui.lab.backend import LabBackend
from sockwatch.tui.options import Options
from tests.support import build
from tests.tui.host import Host

FIRST_PID = 4001
FACTS = HostFacts(uid=0, net_bind_service=True, ipv6=True, bindv6only=False)
CHOICES = "1 ok  2 EADDRINUSE  3 EACCES  4 EADDRNOTAVAIL"  # of the questions below
NO_FLAGS = ReuseFlags(reuseaddr=False, reuseport=False, source="bpf")


class FakeProcess(LabProcess):
    """Answers at once. `served` connections are those it has accepted."""

    def __init__(self, sandbox: FakeSandbox, number: int, name: str) -> None:
        self.sandbox = sandbox
        self.number = number
        self.name = name
        self.pid = FIRST_PID + number
        self.opened: list[ServerSpec] = []
        self.alive = True
        self.stopped = False
        self.children: list[int] = []
        self.held = 0

    def report(self, *calls: str) -> None:
        for text in calls:
            self.sandbox.on_call(SystemCall(self.name, text))

    def request(
        self,
        verb: str,
        meanwhile: Sequence[LabProcess] = (),  # noqa: ARG002 - as LabProcess has it
        **_: Any,
    ) -> dict[str, Any]:
        if verb == "close_connections":
            for spec in self.opened:
                self.report("close(4) = 0")
                self.sandbox.waiting[spec.port] = self.sandbox.waiting.pop(-spec.port, 0)
        elif verb == "finish":
            self.report("close(3) = 0")
        return {"outcome": "ok", "count": self.held}

    def open(self, spec: ServerSpec) -> dict[str, Any]:
        outcome = self.sandbox.answer or predict_server(spec, self.sandbox.take_snapshot()).outcome
        shown = "0" if outcome == "ok" else f"-1 {outcome}"
        self.report(
            "socket(AF_INET, SOCK_STREAM, 0) = 3", f"bind(3, {spec.address}:{spec.port}) = {shown}"
        )
        if outcome == "ok":
            self.report(f"listen(3, {spec.backlog}) = 0")
            self.opened.append(spec)
        return {"outcome": outcome, "inode": self.number, "port": spec.port}

    def connect(
        self,
        spec: ClientSpec,
        servers: Sequence[LabProcess] = (),  # noqa: ARG002 - as LabProcess has it
    ) -> dict[str, Any]:
        for number in range(spec.count):
            self.report(
                f"connect({3 + number}, {spec.to}:{spec.to_port}) = 0, from 127.0.0.1:40001"
            )
        self.held += spec.count
        # What is open waits under the negative number until the server closes.
        number = -spec.to_port if spec.closes == "nobody" else spec.to_port
        self.sandbox.waiting[number] = self.sandbox.waiting.get(number, 0) + spec.count
        return {"outcome": "ok", "made": spec.count, "waiting": 0}

    def wait_for(self, event: str, count: int) -> None:
        pass

    def drain(self) -> None:
        pass

    def close(self) -> None:
        self.alive = False


class FakeSandbox(Sandbox):
    """For drawing only: where `answer` is None, each bind() does what the product predicts.

    A `snapshot` that is set is what take_snapshot() returns.
    """

    def __init__(self, network: Network = "own", answer: str | None = None) -> None:
        self.network = network
        self.answer = answer
        self.many_uids = network == "own"
        self.on_call: Callable[[SystemCall], None] = lambda _: None
        self.processes: list[LabProcess] = []
        self.waiting: dict[int, int] = {}
        self.polled_ports: list[int | None] = []
        self.snapshot: Snapshot | None = None
        self.closed = False
        self.uids: list[int | None] = []
        self._count = 0

    def start(self, name: str, uid: int | None = None) -> LabProcess:
        process = FakeProcess(self, self._count, name)
        self.uids.append(uid)
        self._count += 1
        self.processes.append(process)
        return process

    def signal(self, process: LabProcess, number: signal.Signals) -> None:
        self.on_call(SystemCall("you", f"kill -{number.name.removeprefix('SIG')} {process.pid}"))
        process.stopped = number == signal.SIGSTOP
        if number == signal.SIGKILL:
            self.drop(process)

    def take_snapshot(self, port: int | None = None) -> Snapshot:
        if self.closed:
            raise LabError("the sandbox is gone")
        self.polled_ports.append(port)
        if self.snapshot is not None:
            return self.snapshot
        found: dict[int, Port] = {}
        for process in self.processes:
            for spec in process.opened:
                found[spec.port] = self._listening(process, spec)
        for number, count in self.waiting.items():
            if count and number > 0 and number not in found:
                clock = (58.2, 59.4)
                groups = (
                    build.group("TIME_WAIT", "127.0.0.1", count, clock=clock, flags=NO_FLAGS),
                )
                found[number] = build.port(number, groups=groups)
        ports = [one for one in found.values() if port in (None, one.number)]
        return replace(build.snapshot(ports, only_port=port), facts=FACTS)

    def _listening(self, process: LabProcess, spec: ServerSpec) -> Port:
        flags = ReuseFlags(reuseaddr=spec.reuseaddr, reuseport=spec.reuseport, source="bpf")
        by = (build.holder(build.process(process.pid, process.name, age_s=2)),)
        listener = build.socket(
            "LISTEN", spec.address, spec.port, flags=flags, queue=0, backlog=spec.backlog,
            inode=process.pid, holders=by,
        )  # fmt: skip
        return build.port(spec.port, listeners=(listener,))

    def end_time_waits(self, port: int) -> int:
        self.on_call(SystemCall("you", f"ss -K state time-wait 'sport = :{port}'"))
        return self.waiting.pop(port, 0)

    def hang_up(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


RESTART = Scenario(
    number=1,
    name="restart",
    title="A restart without the flag, a moment after clients were served",
    claim="A restart of a server fails while old connections use its port.",
    finding="True, for 60 s: the side that closes first keeps each connection in TIME_WAIT.",
    ports=(10013,),
    steps=(
        Start("start the daytime server", "old", expect="ok", why="Nothing is on the port."),
        Connect("two clients connect", "client", ClientSpec(count=2, closes="nobody"),
                servers=("old",), expect="ok"),
        ServerCloses("the server closes first", "old", "client"),
        Signal("kill the server", "old"),
        See("what is left on the port", expect="2 TIME_WAIT"),
        Start("start the server again", "new", expect="EADDRINUSE",
              why="The new socket overlaps with the TIME_WAITs, and neither has the flag."),
        EndTimeWaits("end the TIME_WAITs", expect="2 ended"),
    ),
)  # fmt: skip
TWO = Scenario(
    number=2,
    name="two-listeners",
    title="SO_REUSEADDR does not allow a second listener",
    claim="With SO_REUSEADDR two servers can listen on one port.",
    finding="False on Linux: a listener blocks every other one.",
    ports=(10013,),
    steps=(
        Start("start a server with SO_REUSEADDR", "first", ServerSpec(reuseaddr=True), expect="ok"),
        Start("start a second one", "second", ServerSpec(reuseaddr=True), expect="EADDRINUSE"),
    ),
)
HOSTED = Scenario(3, "own-network", "It needs a network", "Claim.", "Finding.",
                  (Start("start", "one", expect="ok"),), (10013,), ("own network",))  # fmt: skip


class Sandboxes:
    """Makes the sandboxes of a test; `refused` is why a network of its own is refused.

    `pauses` are those that a run has made, in seconds: no time passes unless `clock_stands`, and
    then each lasts until a command ends it.
    """

    def __init__(self, refused: str = "", answer: str | None = None) -> None:
        self.made: list[FakeSandbox] = []
        self.refused = refused
        self.answer = answer
        self.pauses: list[float] = []
        self.clock_stands = False

    def __call__(self, network: Network) -> Sandbox:
        if self.refused and network == "own":
            raise LabError(self.refused)
        sandbox = FakeSandbox(network, self.answer)
        self.made.append(sandbox)
        return sandbox

    def wait(self, submitted: Event, pause_s: float) -> None:
        """What a run pauses with."""
        self.pauses.append(pause_s)
        if self.clock_stands and pause_s:
            submitted.wait()

    def app(
        self,
        host: Host | None = None,
        options: Options | None = None,
        scenarios: Callable[[], tuple[Scenario, ...]] = lambda: (RESTART, TWO, HOSTED),
    ) -> SockwatchApp:
        lab = LabBackend(self, scenarios, pause_s=0.0, wait=self.wait)
        return (host or Host()).app(options, lab)
