"""Free play: the steps that the keys and forms ask for, run as those of a scenario are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.session import Session
from sockwatch.lab.step import Step, StepResult
from sockwatch.lab.steps import ClientCloses, Connect, EndTimeWaits, ServerCloses, Signal, Start
from sockwatch.tui.lab.events import ProcessView
from sockwatch.units import endpoint, plural

WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 - addresses of the sandbox

_KILL = (
    "SIGKILL kills the process at once, and the kernel closes its sockets. Children that it has"
    " forked keep running, and keep the sockets they hold."
)
_STOP = (
    "A stopped process keeps its sockets. The kernel still completes connections, up to the"
    " backlog, but nobody accepts them."
)
_CONTINUE = "It resumes where it was stopped, and accepts the connections that have queued up."


@dataclass(frozen=True, slots=True)
class ServersClose:
    """The servers close every open connection first, then the clients on the other side."""

    text: str
    servers: tuple[str, ...]
    clients: tuple[str, ...]
    expect: str | None = None
    why: str = ServerCloses.WHY

    @property
    def explanation(self) -> str:
        """What such a step is about."""
        return self.why

    def run(self, session: Session) -> StepResult:
        for name in self.servers:
            session.process(name).request("close_connections")
        for name in self.clients:
            session.process(name).request("finish")
        return StepResult()


def start(name: str, spec: ServerSpec) -> Start:
    """Start a server; where a process of this name runs, it opens another socket."""
    return Start(f"start {name}: {spec_words(spec)}", name, spec)


def kill(name: str) -> Signal:
    """Kill a process of the sandbox."""
    return Signal(f"kill -9 {name}", name, "KILL", why=_KILL)


def stop_or_continue(process: ProcessView) -> Signal:
    """SIGSTOP for a running process, SIGCONT for a stopped one."""
    if process.stopped:
        return Signal(f"continue {process.name} (SIGCONT)", process.name, "CONT", why=_CONTINUE)
    return Signal(f"stop {process.name} (SIGSTOP)", process.name, "STOP", why=_STOP)


def connect(name: str, spec: ClientSpec, processes: Sequence[ProcessView]) -> Connect:
    """Connect clients, and wait until every server that accepts has served its connections."""
    servers = tuple(process.name for process in processes if _serves(process, spec))
    closes = "nobody closes" if spec.closes == "nobody" else f"the {spec.closes} closes first"
    text = f"{name}: {plural(spec.count, 'connection')} to {endpoint(spec.to, spec.to_port)}"
    if spec.binds:
        text += f" from {endpoint(spec.address or '*', spec.port)}{_flag_words(spec)}"
    return Connect(f"{text}, {closes}", name, spec, servers=servers)


def close_connections(
    process: ProcessView, processes: Sequence[ProcessView], done: Sequence[Step]
) -> Step | str:
    """Have the process close its open connections first.

    Returns the step, or a sentence that says why there is nothing to close. `done` are the steps
    that have been run.
    """
    open_clients = _open_connections(processes, done)
    if process.opened:
        clients = tuple(
            name
            for name, client in open_clients
            if any(_takes(client, server) for server in process.opened)
        )
        if not clients:
            return f"no client has an open connection to {process.name}: press C to connect some"
        specs = [spec for name, spec in open_clients if name in clients]
        # A client sees its connections closed only when all servers of the port close.
        servers = tuple(
            server.name
            for server in processes
            if server.name == process.name or any(_serves(server, spec) for spec in specs)
        )
        return ServersClose(f"{' and '.join(servers)}: close first", servers, clients)
    specs = [spec for name, spec in open_clients if name == process.name]
    if not specs:
        return f"{process.name} has no open connection"
    servers = tuple(
        server.name for server in processes if any(_serves(server, spec) for spec in specs)
    )
    waited = servers[0] if len(servers) == 1 else None
    return ClientCloses(f"{process.name}: close first", process.name, waited)


def end_time_waits(port: int) -> EndTimeWaits:
    """Destroy the TIME_WAITs of a port."""
    return EndTimeWaits(f"end the TIME_WAITs of port {port}", port)


def reached_at(address: str) -> str:
    """The address to connect to for a server on `address`: loopback for a wildcard."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - a name


def proposed_name(kind: str, taken: Sequence[str]) -> str:
    """A name that is not taken: ``server-1``, or the next free number."""
    number = 1
    while f"{kind}-{number}" in taken:
        number += 1
    return f"{kind}-{number}"


def spec_words(spec: ServerSpec) -> str:
    """``tcp 0.0.0.0:10013 with SO_REUSEADDR, backlog 5``."""
    words = f"{spec.protocol} {endpoint(spec.address, spec.port)}{_flag_words(spec)}"
    if spec.late and (spec.reuseaddr or spec.reuseport):
        words += " set after bind"
    if spec.v6only:
        words += ", IPv6 only"
    if spec.group is not None:
        words += f", group {spec.group}"
    if spec.uid is not None:
        words += f", uid {spec.uid}"
    if spec.protocol == "udp":
        return words
    if spec.backlog is None:
        return f"{words}, bound only"
    return words if spec.accepts else f"{words}, never accepts"


def _flag_words(spec: ServerSpec | ClientSpec) -> str:
    set_flags = [f"SO_{name.upper()}" for name in ("reuseaddr", "reuseport") if getattr(spec, name)]
    return f" with {' and '.join(set_flags)}" if set_flags else ""


def _takes(client: ClientSpec, spec: ServerSpec) -> bool:
    """Whether a listener takes connections of this client."""
    if spec.protocol != "tcp" or spec.port != client.to_port or spec.backlog is None:
        return False
    return spec.address == client.to or spec.address in WILDCARDS


def _serves(process: ProcessView, client: ClientSpec) -> bool:
    if process.stopped:
        return False
    return any(_takes(client, spec) and spec.accepts for spec in process.opened)


def _open_connections(
    processes: Sequence[ProcessView], done: Sequence[Step]
) -> list[tuple[str, ClientSpec]]:
    """The clients whose connections are open, according to the steps that have been run."""
    clients: list[tuple[str, ClientSpec]] = []
    for step in done:
        match step:
            case Connect(who=who, spec=spec) if spec.closes == "nobody":
                clients.append((who, spec))
            case ServersClose(clients=closed):
                clients = [client for client in clients if client[0] not in closed]
            case ClientCloses(who=name) | ServerCloses(client=name):
                clients = [client for client in clients if client[0] != name]
            case _:
                pass
    running = {process.name for process in processes if not process.stopped}
    return [client for client in clients if client[0] in running]
