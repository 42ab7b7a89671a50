"""The processes of a sandbox by name, and what a scenario's addresses and ports are in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Final

from sockwatch.lab.model import (
    EVERYWHERE,
    HOST_PORTS,
    ClientSpec,
    LabError,
    ServerSpec,
    SystemCall,
)
from sockwatch.lab.prediction import Prediction
from sockwatch.lab.process import PATIENCE_S, LabProcess
from sockwatch.lab.sandbox import Sandbox
from sockwatch.model import Snapshot
from sockwatch.readable import readable

# States that a closed connection leaves once its peer has acknowledged that.
PASSING: Final = frozenset({"FIN_WAIT1", "CLOSING", "LAST_ACK"})
PASSED_S: Final = 2.0  # on one host it takes microseconds; milliseconds on a busy one


class Session:
    """The processes in a sandbox by their names, the calls they make, and the ports they use.

    Use it from one thread. `on_call` gets each system call as it happens, `on_prediction` each
    prediction before it is put to the test. `inodes` are those of the sockets opened last, by the
    name of their process.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        on_call: Callable[[SystemCall], None] = lambda _: None,
        on_prediction: Callable[[Prediction], None] = lambda _: None,
    ) -> None:
        self.sandbox = sandbox
        self.on_prediction = on_prediction
        self.inodes: dict[str, int] = {}
        self.host_ports: dict[int, int] = {}
        self._processes: dict[str, LabProcess] = {}
        self._calls: list[SystemCall] = []
        self._on_call = on_call
        sandbox.on_call = self._record

    def take_calls(self) -> tuple[SystemCall, ...]:
        """The system calls since the last time, after draining the channels of all processes."""
        for process in self.processes:
            process.drain()
        calls, self._calls = tuple(self._calls), []
        return calls

    @property
    def processes(self) -> tuple[LabProcess, ...]:
        """The processes that are there."""
        return tuple(process for process in self._processes.values() if process.alive)

    def process(self, name: str) -> LabProcess:
        """The process, dead or alive. Raises LabError."""
        if name not in self._processes:
            raise LabError(f"there is no {name} in the sandbox")
        return self._processes[name]

    def get_or_start(self, name: str, uid: int | None = None) -> LabProcess:
        """The process, started if it is not there. Raises LabError."""
        process = self._processes.get(name)
        if process is None or not process.alive:
            process = self._processes[name] = self.sandbox.start(name, uid)
        return process

    def open(self, name: str, spec: ServerSpec) -> str:
        """Open a socket in the process, started if it is not there; the kernel's answer.

        A process that is left without any ends, as a server does that cannot have its port.
        Raises LabError.
        """
        process = self.get_or_start(name, spec.uid)
        reply = process.open(spec)
        if reply["outcome"] == "ok":
            self.inodes[name] = reply["inode"]
        elif not process.opened:
            self.sandbox.drop(self._processes.pop(name))
        return str(reply["outcome"])

    def look(self, port: int | None) -> Snapshot:
        """A snapshot of the port, or of all, once what was closed is acknowledged.

        Raises LabError, KernelError.
        """
        deadline = time.monotonic() + PASSED_S
        while True:
            snapshot = self.sandbox.take_snapshot(port)
            is_passing = any(PASSING & each.states.keys() for each in snapshot.ports)
            if not is_passing or time.monotonic() > deadline:
                return snapshot

    def port(self, number: int) -> int:
        """The port that stands for this one of the scenario: another one on the host."""
        return self.host_ports.get(number, number)

    def server_here(self, spec: ServerSpec) -> ServerSpec:
        """The spec as it is in this sandbox. Raises LabError for what the host must not have."""
        address = self.sandbox.everywhere if spec.address == EVERYWHERE else spec.address
        placed = replace(spec, address=address, port=self.port(spec.port))
        self._check(placed.address, placed.port)
        return placed

    def client_here(self, spec: ClientSpec) -> ClientSpec:
        """The same for a client."""
        placed = replace(spec, to_port=self.port(spec.to_port), port=self.port(spec.port))
        self._check(placed.to, placed.to_port)
        self._check(placed.address or placed.to, placed.port)
        return placed

    def _check(self, address: str, port: int) -> None:
        if self.sandbox.network == "host" and (
            not ip_address(address).is_loopback or 0 < port < HOST_PORTS.start
        ):
            raise LabError(
                "on the host the lab uses only loopback addresses and ports from "
                f"{HOST_PORTS.start} up, not {address} port {port}"
            )

    def wait_for_all(self, processes: Sequence[LabProcess], event: str, count: int) -> list[int]:
        """Until these processes together have said so that often; how often each did."""
        if len(processes) == 1:
            processes[0].wait_for(event, count)
            return [count]
        counts = [process.pop_count(event) for process in processes]  # what was heard already
        while processes and sum(counts) < count:
            if not readable(processes, PATIENCE_S):
                raise LabError(f"{sum(counts)} of {count} connections {event}")
            for place, process in enumerate(processes):
                process.drain()
                counts[place] += process.pop_count(event)
        return counts

    def _record(self, call: SystemCall) -> None:
        self._calls.append(call)
        self._on_call(call)
