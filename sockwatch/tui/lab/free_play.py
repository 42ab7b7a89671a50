"""Free play: what is asked for as steps, run by the same session as those of a scenario."""

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
    "SIGKILL ends the process at once, and the kernel closes its sockets. Children that it has"
    " forked live on, and so do the sockets they hold."
)
_STOP = (
    "A stopped process keeps its sockets. The kernel still completes connections, up to the"
    " backlog; nobody accepts them."
)
_CONTINUE = "It goes on where it was stopped, and accepts what has queued up."


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
        return self.why

    def run(self, sandbox: Session) -> StepResult:
        for name in self.servers:
            sandbox.process(name).request("close_connections")
        for name in self.clients:
            sandbox.process(name).request("finish")
        return StepResult()


def start(name: str, spec: ServerSpec) -> Start:
    """Start a server; where a process of this name runs, it opens another socket."""
    return Start(f"start {name}: {spec_words(spec)}", name, spec)


def kill(name: str) -> Signal:
    """Kill a process of the sandbox."""
    return Signal(f"kill -9 {name}", name, "KILL", why=_KILL)


def stop_or_continue(process: ProcessView) -> Signal:
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
    """The process closes its open connections first; or why there are none to close."""
    open_to = _open_connections(processes, done)
    if process.opened:
        clients = tuple(
            name for name, spec in open_to if any(_takes(spec, one) for one in process.opened)
        )
        if not clients:
            return f"no client has an open connection to {process.name}: C makes some"
        specs = [spec for name, spec in open_to if name in clients]
        # A client hears the end of its connections only when all servers of the port close.
        servers = tuple(
            one.name for one in processes
            if one.name == process.name or any(_serves(one, spec) for spec in specs)
        )  # fmt: skip
        return ServersClose(f"{' and '.join(servers)}: close first", servers, clients)
    specs = [spec for name, spec in open_to if name == process.name]
    if not specs:
        return f"{process.name} has no open connection"
    servers = tuple(one.name for one in processes if any(_serves(one, spec) for spec in specs))
    waited = servers[0] if len(servers) == 1 else None
    return ClientCloses(f"{process.name}: close first", process.name, waited)


def end_time_waits(port: int) -> EndTimeWaits:
    return EndTimeWaits(f"end the TIME_WAITs of port {port}", port)


def reached_at(address: str) -> str:
    """An address at which a server on `address` is reached."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - a name


def proposed_name(kind: str, taken: Sequence[str]) -> str:
    """``server-1``, or the next number that is free."""
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
    """The clients that have open connections, as far as the steps tell."""
    found: list[tuple[str, ClientSpec]] = []
    for step in done:
        match step:
            case Connect(who=who, spec=spec) if spec.closes == "nobody":
                found.append((who, spec))
            case ServersClose(clients=clients):
                found = [one for one in found if one[0] not in clients]
            case ClientCloses(who=name) | ServerCloses(client=name):
                found = [one for one in found if one[0] != name]
            case _:
                pass
    able = {process.name for process in processes if not process.stopped}
    return [one for one in found if one[0] in able]
