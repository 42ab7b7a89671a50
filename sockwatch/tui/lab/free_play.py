"""Free play: the steps that the keys and forms ask for, run as those of a scenario are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sockwatch.lab.languages.translation import ENGLISH, Translation
from sockwatch.lab.model import ClientSpec, Closes, ServerSpec
from sockwatch.lab.session import Session
from sockwatch.lab.step import Step, StepResult
from sockwatch.lab.steps import ClientCloses, Connect, EndTimeWaits, ServerCloses, Signal, Start
from sockwatch.tui.lab.events import ProcessView
from sockwatch.units import endpoint

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
_CLOSES: Final[dict[Closes, str]] = {
    "server": "{connections}, the server closes first",
    "client": "{connections}, the client closes first",
    "nobody": "{connections}, nobody closes",
}


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


def start(name: str, spec: ServerSpec, say: Translation = ENGLISH) -> Start:
    """Start a server; where a process of this name runs, it opens another socket."""
    return Start(say("start {name}: {spec}", name=name, spec=spec_words(spec, say)), name, spec)


def kill(name: str, say: Translation = ENGLISH) -> Signal:
    """Kill a process of the sandbox."""
    return Signal(f"kill -9 {name}", name, "KILL", why=say(_KILL))


def stop_or_continue(process: ProcessView, say: Translation = ENGLISH) -> Signal:
    """SIGSTOP for a running process, SIGCONT for a stopped one."""
    if process.stopped:
        text = say("continue {name} (SIGCONT)", name=process.name)
        return Signal(text, process.name, "CONT", why=say(_CONTINUE))
    text = say("stop {name} (SIGSTOP)", name=process.name)
    return Signal(text, process.name, "STOP", why=say(_STOP))


def connect(
    name: str,
    spec: ClientSpec,
    processes: Sequence[ProcessView],
    say: Translation = ENGLISH,
) -> Connect:
    """Connect clients, and wait until every server that accepts has served its connections."""
    servers = tuple(process.name for process in processes if _serves(process, spec))
    text = say(
        "{name}: {connections} to {endpoint}",
        name=name,
        connections=say.count(spec.count, "connection"),
        endpoint=endpoint(spec.to, spec.to_port),
    )
    if spec.binds:
        source = endpoint(spec.address or "*", spec.port) + _flag_words(spec, say)
        text = say("{connections} from {endpoint}", connections=text, endpoint=source)
    return Connect(say(_CLOSES[spec.closes], connections=text), name, spec, servers=servers)


def close_connections(
    process: ProcessView,
    processes: Sequence[ProcessView],
    done: Sequence[Step],
    say: Translation = ENGLISH,
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
            return say(
                "no client has an open connection to {name}: press C to connect some",
                name=process.name,
            )
        specs = [spec for name, spec in open_clients if name in clients]
        # A client sees its connections closed only when all servers of the port close.
        servers = tuple(
            server.name
            for server in processes
            if server.name == process.name or any(_serves(server, spec) for spec in specs)
        )
        return ServersClose(
            say("{names}: close first", names=say(" and ").join(servers)), servers, clients
        )
    specs = [spec for name, spec in open_clients if name == process.name]
    if not specs:
        return say("{name} has no open connection", name=process.name)
    servers = tuple(
        server.name for server in processes if any(_serves(server, spec) for spec in specs)
    )
    waited = servers[0] if len(servers) == 1 else None
    return ClientCloses(say("{names}: close first", names=process.name), process.name, waited)


def end_time_waits(port: int, say: Translation = ENGLISH) -> EndTimeWaits:
    """Destroy the TIME_WAITs of a port."""
    return EndTimeWaits(say("end the TIME_WAITs of port {port}", port=port), port)


def reached_at(address: str) -> str:
    """The address to connect to for a server on `address`: loopback for a wildcard."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - a name


def proposed_name(kind: str, taken: Sequence[str]) -> str:
    """A name that is not taken: ``server-1``, or the next free number."""
    number = 1
    while f"{kind}-{number}" in taken:
        number += 1
    return f"{kind}-{number}"


def spec_words(spec: ServerSpec, say: Translation = ENGLISH) -> str:
    """``tcp 0.0.0.0:10013 with SO_REUSEADDR, backlog 5``."""
    words = [f"{spec.protocol} {endpoint(spec.address, spec.port)}{_flag_words(spec, say)}"]
    if spec.late and (spec.reuseaddr or spec.reuseport):
        words = [say("{flags} set after bind", flags=words[0])]
    if spec.v6only:
        words.append(say("IPv6 only"))
    if spec.group is not None:
        words.append(say("group {group}", group=spec.group))
    if spec.uid is not None:
        words.append(f"uid {spec.uid}")
    if spec.protocol != "udp" and spec.backlog is None:
        words.append(say("bound only"))
    elif spec.protocol != "udp" and not spec.accepts:
        words.append(say("never accepts"))
    return say(", ").join(words)


def _flag_words(spec: ServerSpec | ClientSpec, say: Translation) -> str:
    set_flags = [f"SO_{name.upper()}" for name in ("reuseaddr", "reuseport") if getattr(spec, name)]
    return say(" with {flags}", flags=say(" and ").join(set_flags)) if set_flags else ""


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
