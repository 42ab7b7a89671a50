"""The steps a scenario is made of, and free play too. Each is data that knows how to be done."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Protocol

from sockwatch.lab.model import DAYTIME_PORT, ClientSpec, LabError, ServerSpec
from sockwatch.lab.prediction import (
    Prediction,
    predict_client,
    predict_listen,
    predict_server,
)

if TYPE_CHECKING:
    from sockwatch.lab.rehearsal import Rehearsal
    from sockwatch.model import Port

RECEIVE_S: Final = 1.0
SETTLE_S: Final = 2.0
DOINGS: Final = {"T": "is stopped", "t": "is traced", "D": "cannot be interrupted"}


class Skipped(LabError):  # noqa: N818 - nothing went wrong
    """A step cannot be done on this stage; `rest` goes with it if what follows builds on it."""

    def __init__(self, reason: str, *, rest: bool = False) -> None:
        super().__init__(reason)
        self.rest = rest


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the kernel answered or shows, and what had been predicted where it was a bind."""

    kernel: str | None = None
    prediction: Prediction | None = None


class Step(Protocol):
    """`text` says what is done, `expect` is the kernel's expected answer.

    `why` explains this step; `explanation` is that, or what such steps are about.
    """

    @property
    def text(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def explanation(self) -> str: ...
    @property
    def expect(self) -> str | None: ...
    def run(self, rehearsal: Rehearsal) -> Outcome:
        """Raises LabError, Skipped."""
        ...


@dataclass(frozen=True, slots=True)
class _Base:
    text: str
    why: str = field(default="", kw_only=True)
    expect: str | None = field(default=None, kw_only=True)
    WHY: ClassVar[str] = ""

    @property
    def explanation(self) -> str:
        return self.why or self.WHY


@dataclass(frozen=True, slots=True)
class Start(_Base):
    """Start the process `who`, unless it runs, and open a socket in it."""

    WHY = (
        "A server asks for its port by bind(), and opens it for connections by listen(). "
        "Each of the two runs the kernel's test against every other socket on the port."
    )

    who: str
    spec: ServerSpec = ServerSpec()  # noqa: RUF009 - frozen

    def run(self, rehearsal: Rehearsal) -> Outcome:
        spec = rehearsal.placed(self.spec)
        if spec.uid is not None and not rehearsal.stage.many_uids:
            raise Skipped("a second user needs root")
        prediction = predict_server(spec, rehearsal.stage.look(spec.port or None))
        rehearsal.foretell(prediction)
        actor = rehearsal.get_or_start(self.who, spec.uid)
        answer = actor.open(spec)
        if answer["outcome"] == "ok":
            rehearsal.inodes[self.who] = answer["inode"]
        elif not actor.opened:
            rehearsal.leave(self.who)  # as a server does that cannot have its port
        return Outcome(answer["outcome"], prediction)


@dataclass(frozen=True, slots=True)
class Listen(_Base):
    """listen() on the socket that `who` has bound."""

    WHY = "listen() runs the same test as bind() once more, against what is on the port by now."

    who: str
    backlog: int = 5

    def run(self, rehearsal: Rehearsal) -> Outcome:
        actor = rehearsal.actor(self.who)
        spec = actor.opened[-1]
        snapshot = rehearsal.stage.look(spec.port)
        prediction = predict_listen(spec, snapshot, rehearsal.inodes[self.who])
        rehearsal.foretell(prediction)
        return Outcome(actor.ask("listen", backlog=self.backlog)["outcome"], prediction)


@dataclass(frozen=True, slots=True)
class Connect(_Base):
    """Connections of the process `who`; those of `servers` that accept them are waited for."""

    WHY = (
        "Each connection is one socket at the client and one at the server. The server's "
        "has the server's port, and the flags that the listener had at that moment."
    )

    who: str
    spec: ClientSpec = ClientSpec()  # noqa: RUF009 - frozen
    servers: tuple[str, ...] = ()

    def run(self, rehearsal: Rehearsal) -> Outcome:
        spec = rehearsal.placed_client(self.spec)
        prediction = None
        if spec.binds:
            prediction = predict_client(spec, rehearsal.stage.look(spec.port or None))
            rehearsal.foretell(prediction)
        servers = [rehearsal.actor(name) for name in self.servers]
        for server in servers:
            server.ask("change", closes=spec.closes)
        answer = rehearsal.get_or_start(self.who).connect(spec, servers)
        served = rehearsal.wait_for_all(servers, "served", answer["made"])
        if spec.closes == "client":
            rehearsal.wait_for_all(servers, "closed", answer["made"])
        kernel = answer["outcome"]
        if answer.get("waiting"):
            kernel = f"{answer['made']} connected, {answer['waiting']} waiting"
        elif len(servers) > 1 and kernel == "ok":
            kernel = f"{sum(count > 0 for count in served)} of {len(servers)} serve"
        return Outcome(kernel, prediction)


@dataclass(frozen=True, slots=True)
class ServerCloses(_Base):
    """The server closes its open connections first, then the client: TIME_WAIT at the server."""

    WHY = (
        "Who closes first keeps the connection in TIME_WAIT for 60 s, in case its last "
        "acknowledgement was lost. Here that is the server, so its port is the one in use."
    )

    who: str
    client: str

    def run(self, rehearsal: Rehearsal) -> Outcome:
        rehearsal.actor(self.who).ask("close_connections")
        rehearsal.actor(self.client).ask("finish")
        return Outcome()


@dataclass(frozen=True, slots=True)
class ClientCloses(_Base):
    """The client closes its open connections first: TIME_WAIT at the client."""

    WHY = (
        "Who closes first keeps the connection in TIME_WAIT for 60 s. Here that is the "
        "client, so nothing is left on the server's side."
    )

    who: str
    server: str | None = None

    def run(self, rehearsal: Rehearsal) -> Outcome:
        client = rehearsal.actor(self.who)
        count = client.ask("finish", first=True)["count"]
        if self.server is not None:
            rehearsal.actor(self.server).wait_for("closed", count)
        return Outcome()


@dataclass(frozen=True, slots=True)
class Signal(_Base):
    """Send a signal to the process: KILL, STOP, CONT or TERM."""

    WHY = (
        "SIGKILL ends a process without asking it, and the kernel closes its sockets; what "
        "children hold stays open. SIGSTOP keeps it from running and changes nothing of its "
        "sockets."
    )

    who: str
    name: Literal["KILL", "STOP", "CONT", "TERM"] = "KILL"

    def run(self, rehearsal: Rehearsal) -> Outcome:
        rehearsal.stage.signal(rehearsal.actor(self.who), signal.Signals[f"SIG{self.name}"])
        return Outcome()


@dataclass(frozen=True, slots=True)
class EndChildren(_Base):
    """Kill the children that the dead process has left behind."""

    WHY = "The last process that holds a socket takes it along."

    who: str

    def run(self, rehearsal: Rehearsal) -> Outcome:
        return Outcome(f"{rehearsal.stage.end_orphans(rehearsal.actor(self.who))} ended")


@dataclass(frozen=True, slots=True)
class CloseSockets(_Base):
    """The process closes the sockets it has opened, and goes on."""

    WHY = "A socket is gone when the last fd that refers to it is closed."

    who: str

    def run(self, rehearsal: Rehearsal) -> Outcome:
        actor = rehearsal.actor(self.who)
        actor.ask("close")
        actor.opened.clear()
        return Outcome()


@dataclass(frozen=True, slots=True)
class SetFlag(_Base):
    """Set a reuse flag afterwards, on the listeners or on the accepted connections."""

    WHY = (
        "Flags count as they are when bind() or listen() tests them; a connection has "
        "copied those of its listener when it was made."
    )

    who: str
    name: Literal["SO_REUSEADDR", "SO_REUSEPORT"]
    on: Literal["listener", "connection"]

    def run(self, rehearsal: Rehearsal) -> Outcome:
        return Outcome(rehearsal.actor(self.who).ask("set", name=self.name, on=self.on)["outcome"])


@dataclass(frozen=True, slots=True)
class Sysctl(_Base):
    """A setting net.ipv4.NAME of the rehearsal."""

    WHY = "A setting of this network namespace; the host keeps its own."

    name: str
    value: str

    def run(self, rehearsal: Rehearsal) -> Outcome:
        rehearsal.stage.set_sysctl(self.name, self.value)
        return Outcome()


@dataclass(frozen=True, slots=True)
class EndTimeWaits(_Base):
    """End the TIME_WAITs of a port instead of waiting for 60 s."""

    WHY = (
        "A TIME_WAIT lasts 60 s, which no setting changes. Root can destroy it, as `ss -K` "
        "does; here that saves the minute."
    )

    port: int = DAYTIME_PORT

    def run(self, rehearsal: Rehearsal) -> Outcome:
        if rehearsal.stage.place == "host":
            raise Skipped("TIME_WAITs of the host are left alone", rest=True)
        return Outcome(f"{rehearsal.stage.end_time_waits(rehearsal.port(self.port))} ended")


@dataclass(frozen=True, slots=True)
class Send(_Base):
    """A datagram from the process `who`; which of `servers` receive it is the answer.

    With `counted` it is how many do, where which one is up to the kernel's hash.
    """

    WHY = (
        "With UDP nobody connects: the kernel decides for each datagram which of the "
        "sockets on the port gets it."
    )

    who: str
    to: str
    servers: tuple[str, ...]
    port: int = DAYTIME_PORT
    counted: bool = False

    def run(self, rehearsal: Rehearsal) -> Outcome:
        servers = {name: rehearsal.actor(name) for name in self.servers}
        for server in servers.values():
            server.ask("received")
        port = rehearsal.port(self.port)
        sent = rehearsal.get_or_start(self.who).ask("send", to=self.to, port=port, text="hello")
        if sent["outcome"] != "ok":
            return Outcome(f"sendto {sent['outcome']}")
        wanted = len((self.expect or "").split(", "))
        got: list[str] = []
        deadline = time.monotonic() + RECEIVE_S
        while len(got) < wanted and time.monotonic() < deadline:
            got += [name for name, one in servers.items() if one.ask("received")["texts"]]
        if self.counted:
            return Outcome(f"{len(got)} of {len(servers)} receive it")
        return Outcome(", ".join(sorted(got, key=list(servers).index)) or "nobody")


@dataclass(frozen=True, slots=True)
class See(_Base):
    """What the table of sockwatch shows of a port.

    `states`: ``1 LISTEN, 3 TIME_WAIT``; `queue`: ``2/1``; `holders`: the names of the processes;
    `doing`: the first holder and what it does. What is expected may take a moment to come.
    """

    WHY = "This is what sockwatch reads from the kernel's socket tables, for every state."

    what: Literal["states", "queue", "holders", "doing"] = "states"
    port: int = DAYTIME_PORT
    protocol: Literal["tcp", "udp"] = "tcp"

    def run(self, rehearsal: Rehearsal) -> Outcome:
        number = rehearsal.port(self.port)
        deadline = time.monotonic() + SETTLE_S
        while True:
            seen = self._describe(rehearsal.stage.look(number).port(self.protocol, number))
            if seen == self.expect or self.expect is None or time.monotonic() > deadline:
                return Outcome(seen)

    def _describe(self, port: Port | None) -> str:
        if port is None:
            return "nothing"
        if self.what == "states":
            parts = [f"{count} {state}" for state, count in port.states.items()]
            return ", ".join(parts) or "nothing"
        if self.what == "queue":
            return ", ".join(f"{one.queue}/{one.backlog}" for one in port.listeners)
        names = [holder.process.name for holder in port.holders if holder.process is not None]
        if self.what == "holders":
            return ", ".join(sorted(set(names))) or "nobody"
        for holder in port.holders:
            if holder.process is not None:
                return f"{holder.process.name} {DOINGS.get(holder.process.state, 'goes on')}"
        return "nobody"


@dataclass(frozen=True, slots=True)
class Ss(_Base):
    """What `ss -ltn` shows of a port: ``nothing`` or the state in its lines."""

    WHY = "`ss -ltn` asks the kernel for listeners alone."

    port: int = DAYTIME_PORT

    def run(self, rehearsal: Rehearsal) -> Outcome:
        lines = rehearsal.stage.ss(rehearsal.port(self.port))
        if lines is None:
            raise Skipped("ss is not installed")
        states = [line.split()[0] for line in lines.splitlines() if line.strip()]
        return Outcome(", ".join(states) or "nothing")
