"""The steps a scenario is made of, and free play too. Each is data that can carry itself out."""

from __future__ import annotations

import errno
import signal
from dataclasses import dataclass
from typing import Literal

from sockwatch.lab.model import DAYTIME_PORT, ClientSpec, ServerSpec
from sockwatch.lab.prediction import (
    predict_client,
    predict_listen,
    predict_server,
)
from sockwatch.lab.session import Session
from sockwatch.lab.step import BaseStep, Skipped, StepResult
from sockwatch.model import KernelError


@dataclass(frozen=True, slots=True)
class Start(BaseStep):
    """Start the process `who`, unless it is running, and open a socket in it."""

    WHY = (
        "A server asks for its port with bind(), and opens it to connections with "
        "listen(). Each of the two runs the kernel's test against every other socket on "
        "the port."
    )

    who: str
    spec: ServerSpec = ServerSpec()  # noqa: RUF009 - frozen

    def run(self, session: Session) -> StepResult:
        spec = session.server_here(self.spec)
        if spec.uid is not None and not session.sandbox.many_uids:
            raise Skipped("a second user needs root")
        prediction = predict_server(spec, session.look(spec.port or None))
        session.on_prediction(prediction)
        return StepResult(session.open(self.who, spec), prediction)


@dataclass(frozen=True, slots=True)
class Listen(BaseStep):
    """listen() on the socket that `who` has bound."""

    WHY = (
        "listen() runs the same test as bind() once more, against whatever is on the "
        "port at that moment."
    )

    who: str
    backlog: int = 5

    def run(self, session: Session) -> StepResult:
        process = session.process(self.who)
        spec = process.opened[-1]
        snapshot = session.look(spec.port)
        prediction = predict_listen(spec, snapshot, session.inodes[self.who])
        session.on_prediction(prediction)
        return StepResult(process.request("listen", backlog=self.backlog)["outcome"], prediction)


@dataclass(frozen=True, slots=True)
class Connect(BaseStep):
    """Connections of the process `who`; wait until `servers`, which accept, have served them."""

    WHY = (
        "Each connection is one socket at the client and one at the server. The server's "
        "has the server's port, and the flags that the listener had at that moment."
    )

    who: str
    spec: ClientSpec = ClientSpec()  # noqa: RUF009 - frozen
    servers: tuple[str, ...] = ()

    def run(self, session: Session) -> StepResult:
        spec = session.client_here(self.spec)
        prediction = None
        if spec.binds:
            prediction = predict_client(spec, session.look(spec.port or None))
            session.on_prediction(prediction)
        servers = [session.process(name) for name in self.servers]
        for server in servers:
            server.request("change", closes=spec.closes)
        reply = session.get_or_start(self.who).connect(spec, servers)
        served = session.wait_for_all(servers, "served", reply["made"])
        if spec.closes == "client":
            session.wait_for_all(servers, "closed", reply["made"])
        kernel = reply["outcome"]
        if reply.get("waiting"):
            kernel = f"{reply['made']} connected, {reply['waiting']} waiting"
        elif len(servers) > 1 and kernel == "ok":
            kernel = f"{sum(count > 0 for count in served)} of {len(servers)} serve"
        return StepResult(kernel, prediction)


@dataclass(frozen=True, slots=True)
class ServerCloses(BaseStep):
    """The server closes its open connections first, then the client: TIME_WAIT at the server."""

    WHY = (
        "The side that closes first keeps the connection in TIME_WAIT for 60 s, in case "
        "its last acknowledgement was lost. Here that is the server, so its port is the "
        "one in use."
    )

    who: str
    client: str

    def run(self, session: Session) -> StepResult:
        session.process(self.who).request("close_connections")
        session.process(self.client).request("finish")
        return StepResult()


@dataclass(frozen=True, slots=True)
class ClientCloses(BaseStep):
    """The client closes its open connections first: TIME_WAIT at the client."""

    WHY = (
        "The side that closes first keeps the connection in TIME_WAIT for 60 s. Here "
        "that is the client, so nothing is left on the server's side."
    )

    who: str
    server: str | None = None

    def run(self, session: Session) -> StepResult:
        client = session.process(self.who)
        count = client.request("finish", first=True)["count"]
        if self.server is not None:
            session.process(self.server).wait_for("closed", count)
        return StepResult()


@dataclass(frozen=True, slots=True)
class Write(BaseStep):
    """Write on the open connections of the client `who`, and once more when the peer has answered.

    The answer is that of the second write().
    """

    WHY = (
        "write() only hands the data to the kernel. That the peer refuses it is known with its"
        " reset, and the next write() tells."
    )

    who: str

    def run(self, session: Session) -> StepResult:
        return StepResult(session.process(self.who).request("write")["outcome"])


@dataclass(frozen=True, slots=True)
class Signal(BaseStep):
    """Send a signal to the process: KILL, STOP, CONT or TERM."""

    WHY = (
        "SIGKILL kills a process outright, and the kernel closes its sockets; those "
        "that its children hold stay open. SIGSTOP suspends it and leaves its sockets "
        "alone."
    )

    who: str
    name: Literal["KILL", "STOP", "CONT", "TERM"] = "KILL"

    def run(self, session: Session) -> StepResult:
        session.sandbox.signal(session.process(self.who), signal.Signals[f"SIG{self.name}"])
        return StepResult()


@dataclass(frozen=True, slots=True)
class EndChildren(BaseStep):
    """Kill the children that the dead process has left behind."""

    WHY = "A socket goes away with the last process that holds it."

    who: str

    def run(self, session: Session) -> StepResult:
        return StepResult(f"{session.sandbox.end_orphans(session.process(self.who))} ended")


@dataclass(frozen=True, slots=True)
class CloseSockets(BaseStep):
    """The process closes the sockets it has opened, and keeps running."""

    WHY = "A socket is gone when the last fd that refers to it is closed."

    who: str

    def run(self, session: Session) -> StepResult:
        process = session.process(self.who)
        process.request("close")
        process.opened.clear()
        return StepResult()


@dataclass(frozen=True, slots=True)
class SetFlag(BaseStep):
    """Set a reuse flag afterwards, on the listeners or on the accepted connections."""

    WHY = (
        "A flag counts as it is when bind() or listen() tests it; a connection copies "
        "the flags of its listener when it is made."
    )

    who: str
    name: Literal["SO_REUSEADDR", "SO_REUSEPORT"]
    on: Literal["listener", "connection"]

    def run(self, session: Session) -> StepResult:
        return StepResult(
            session.process(self.who).request("set", name=self.name, on=self.on)["outcome"]
        )


@dataclass(frozen=True, slots=True)
class Sysctl(BaseStep):
    """Set net.ipv4.NAME in the network namespace of the sandbox."""

    WHY = "This sysctl belongs to the network namespace; the host keeps its own."

    name: str
    value: str

    def run(self, session: Session) -> StepResult:
        session.sandbox.set_sysctl(self.name, self.value)
        return StepResult()


@dataclass(frozen=True, slots=True)
class EndTimeWaits(BaseStep):
    """End the TIME_WAITs of a port instead of waiting for 60 s."""

    WHY = (
        "A TIME_WAIT lasts 60 s, and no setting changes that. Root can destroy it, as "
        "`ss -K` does; here that saves a minute."
    )

    port: int = DAYTIME_PORT

    def run(self, session: Session) -> StepResult:
        if session.sandbox.network == "host":
            raise Skipped("TIME_WAITs of the host are left alone", rest=True)
        try:
            ended = session.sandbox.end_time_waits(session.port(self.port))
        except KernelError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            reason = "this kernel ends no TIME_WAIT: Linux 6.0 and later do"
            raise Skipped(reason, rest=True) from error
        return StepResult(f"{ended} ended")
