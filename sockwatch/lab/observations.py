"""The steps that observe: what is received, what the tables show."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Literal

from sockwatch.lab.model import DAYTIME_PORT
from sockwatch.lab.session import Session
from sockwatch.lab.step import BaseStep, Skipped, StepResult
from sockwatch.model import Port

RECEIVE_S: Final = 1.0
SETTLE_S: Final = 2.0
ACTIVITIES: Final = {"T": "is stopped", "t": "is traced", "D": "cannot be interrupted"}


@dataclass(frozen=True, slots=True)
class Send(BaseStep):
    """Send a datagram from the process `who`, and see which of `servers` receive it.

    With `counted`, see how many do, where the kernel's hash decides which one.
    """

    WHY = (
        "UDP has no connections: the kernel decides for each datagram which of the "
        "sockets on the port gets it."
    )

    who: str
    to: str
    servers: tuple[str, ...]
    port: int = DAYTIME_PORT
    counted: bool = False

    def run(self, session: Session) -> StepResult:
        servers = {name: session.process(name) for name in self.servers}
        for server in servers.values():
            server.request("received")
        port = session.port(self.port)
        sent = session.get_or_start(self.who).request("send", to=self.to, port=port, text="hello")
        if sent["outcome"] != "ok":
            return StepResult(f"sendto {sent['outcome']}")
        expected_count = len((self.expect or "").split(", "))
        receivers: list[str] = []
        deadline = time.monotonic() + RECEIVE_S
        while len(receivers) < expected_count and time.monotonic() < deadline:
            receivers += [
                name for name, server in servers.items() if server.request("received")["texts"]
            ]
        if self.counted:
            return StepResult(f"{len(receivers)} of {len(servers)} receive it")
        return StepResult(", ".join(sorted(receivers, key=list(servers).index)) or "nobody")


@dataclass(frozen=True, slots=True)
class See(BaseStep):
    """What the table of sockwatch shows of a port.

    `states`: ``1 LISTEN, 3 TIME_WAIT``; `queue`: ``2/1``; `holders`: the names of the processes;
    `doing`: the first holder and what it does. What is expected has two seconds to come true.
    """

    WHY = "This is what sockwatch reads from the kernel's socket tables, for every state."

    what: Literal["states", "queue", "holders", "doing"] = "states"
    port: int = DAYTIME_PORT
    protocol: Literal["tcp", "udp"] = "tcp"

    def run(self, session: Session) -> StepResult:
        number = session.port(self.port)
        deadline = time.monotonic() + SETTLE_S
        while True:
            seen = self._describe(session.sandbox.take_snapshot(number).port(self.protocol, number))
            if seen == self.expect or self.expect is None or time.monotonic() > deadline:
                return StepResult(seen)

    def _describe(self, port: Port | None) -> str:
        if port is None:
            return "nothing"
        if self.what == "states":
            parts = [f"{count} {state}" for state, count in port.states.items()]
            return ", ".join(parts) or "nothing"
        if self.what == "queue":
            return ", ".join(f"{sock.queue}/{sock.backlog}" for sock in port.listeners)
        names = [holder.process.name for holder in port.holders if holder.process is not None]
        if self.what == "holders":
            return ", ".join(sorted(set(names))) or "nobody"
        for holder in port.holders:
            if holder.process is not None:
                return f"{holder.process.name} {ACTIVITIES.get(holder.process.state, 'is running')}"
        return "nobody"


@dataclass(frozen=True, slots=True)
class Ss(BaseStep):
    """What `ss -ltn` shows of a port: ``nothing`` or the state in its lines."""

    WHY = "`ss -ltn` asks the kernel for listeners only."

    port: int = DAYTIME_PORT

    def run(self, session: Session) -> StepResult:
        lines = session.sandbox.ss(session.port(self.port))
        if lines is None:
            raise Skipped("ss is not installed")
        states = [line.split()[0] for line in lines.splitlines() if line.strip()]
        return StepResult(", ".join(states) or "nothing")
