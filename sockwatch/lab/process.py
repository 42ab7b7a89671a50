"""A process in the sandbox, as sockwatch commands it."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from sockwatch.lab import wire
from sockwatch.lab.model import ClientSpec, LabError, ServerSpec, SystemCall
from sockwatch.readable import readable

PATIENCE_S: Final = 10.0


class LabProcess:
    """Sends requests to the process, and receives what it and its children report.

    `pid` is that of sockwatch's pid namespace; `opened` are the specs of its open sockets,
    `children` the pids it has forked. `on_call` gets every system call that it reports.
    """

    def __init__(
        self, number: int, name: str, channel: socket.socket, on_call: Callable[[SystemCall], None]
    ) -> None:
        self.number = number
        self.name = name
        self.opened: list[ServerSpec] = []
        self.alive = True
        self.stopped = False
        self.children: list[int] = []
        self._channel = channel
        self._on_call = on_call
        self._events: Counter[str] = Counter()
        channel.settimeout(PATIENCE_S)
        content, self.pid = self._receive()
        if not content.get("hello"):
            raise LabError(f"{name} could not be started: {content}")

    def fileno(self) -> int:
        """The fd of its channel, for select()."""
        return self._channel.fileno()

    def close(self) -> None:
        """Close its channel, upon which it exits."""
        self.alive = False
        self._channel.close()

    def request(
        self, verb: str, meanwhile: Sequence[LabProcess] = (), **arguments: Any
    ) -> dict[str, Any]:
        """Its reply. System calls of `meanwhile` are received while it takes its time.

        Raises LabError.
        """
        try:
            wire.send(self._channel, {"do": verb} | arguments)
        except OSError as error:
            raise LabError(f"{self.name} is gone") from error
        while True:
            self._drain_until_ready(meanwhile)
            content = self._next_message()
            if content.get("done"):
                return content

    def _drain_until_ready(self, others: Sequence[LabProcess]) -> None:
        """Drain the others until it sends something: their channels have room for few messages."""
        while listed := [other for other in others if other.alive]:
            ready = readable([self, *listed], PATIENCE_S)
            if self in ready or not ready:
                return
            for other in ready:
                other.drain()

    def open(self, spec: ServerSpec) -> dict[str, Any]:
        """Bind, and listen if the spec says so. Raises LabError."""
        reply = self.request("open", spec=asdict(spec))
        if reply["outcome"] == "ok":
            self.opened.append(replace(spec, port=reply["port"]))  # where it asked for port 0
        return reply

    def connect(self, spec: ClientSpec, servers: Sequence[LabProcess] = ()) -> dict[str, Any]:
        """Make the connections of a client to the servers. Raises LabError."""
        return self.request("connect", servers, spec=asdict(spec))

    def wait_for(self, event: str, count: int) -> None:
        """Wait until it and its children have reported `event` `count` times. Raises LabError."""
        while self._events[event] < count:
            self._next_message()
        self._events[event] -= count

    def pop_count(self, event: str) -> int:
        """How often it has reported `event` since the last time, without waiting."""
        return self._events.pop(event, 0)

    def drain(self) -> None:
        """Receive what it has sent without being asked."""
        self._channel.setblocking(False)
        try:
            while True:
                self._next_message()
        except BlockingIOError:
            pass
        except LabError:
            self.alive = False
        finally:
            self._channel.settimeout(PATIENCE_S)

    def _next_message(self) -> dict[str, Any]:
        content, pid = self._receive()
        if "call" in content:
            who = self.name if pid in (0, self.pid) else f"{self.name}'s child"
            self._on_call(SystemCall(who, content["call"]))
        if "child" in content:
            self.children.append(content["child"])
        if "broken" in content:
            raise LabError(f"{self.name} broke: {content['broken']}")
        for event in ("served", "closed"):
            self._events[event] += event in content
        return content

    def _receive(self) -> tuple[dict[str, Any], int]:
        try:
            content, pid, _ = wire.receive(self._channel)
        except TimeoutError as error:
            raise LabError(f"{self.name} does not answer") from error
        except BlockingIOError:  # nothing is there, for drain()
            raise
        except OSError as error:
            raise LabError(f"{self.name} is gone") from error
        if content is None:
            raise LabError(f"{self.name} is gone")
        return content, pid
