"""The steps a scenario is made of, and free play too. Each is data that knows how to be done."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sockwatch.lab.model import DAYTIME_PORT, ClientSpec, ServerSpec
from sockwatch.lab.prediction import (
    predict_client,
    predict_listen,
    predict_server,
)
from sockwatch.lab.step import BaseStep, Outcome, Skipped

if TYPE_CHECKING:
    from sockwatch.lab.rehearsal import Rehearsal


@dataclass(frozen=True, slots=True)
class Start(BaseStep):
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
class Listen(BaseStep):
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
class Connect(BaseStep):
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
class ServerCloses(BaseStep):
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
class ClientCloses(BaseStep):
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
class Signal(BaseStep):
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
class EndChildren(BaseStep):
    """Kill the children that the dead process has left behind."""

    WHY = "The last process that holds a socket takes it along."

    who: str

    def run(self, rehearsal: Rehearsal) -> Outcome:
        return Outcome(f"{rehearsal.stage.end_orphans(rehearsal.actor(self.who))} ended")


@dataclass(frozen=True, slots=True)
class CloseSockets(BaseStep):
    """The process closes the sockets it has opened, and goes on."""

    WHY = "A socket is gone when the last fd that refers to it is closed."

    who: str

    def run(self, rehearsal: Rehearsal) -> Outcome:
        actor = rehearsal.actor(self.who)
        actor.ask("close")
        actor.opened.clear()
        return Outcome()


@dataclass(frozen=True, slots=True)
class SetFlag(BaseStep):
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
class Sysctl(BaseStep):
    """A setting net.ipv4.NAME of the rehearsal."""

    WHY = "A setting of this network namespace; the host keeps its own."

    name: str
    value: str

    def run(self, rehearsal: Rehearsal) -> Outcome:
        rehearsal.stage.set_sysctl(self.name, self.value)
        return Outcome()


@dataclass(frozen=True, slots=True)
class EndTimeWaits(BaseStep):
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
