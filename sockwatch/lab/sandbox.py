"""The sandbox: test servers run in it, cut off from the host, and never outlive it."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final

from sockwatch.lab import wire
from sockwatch.lab.model import (
    EVERYWHERE,
    LONGEST_NAME,
    LOOPBACK,
    LabError,
    Network,
    SystemCall,
)
from sockwatch.lab.process import PATIENCE_S, LabProcess
from sockwatch.model import Snapshot

if TYPE_CHECKING:
    from typing_extensions import Self

FDS_OF_A_SANDBOX: Final = 256  # its processes put theirs out of the way, from 100 on
START_S: Final = 20.0  # a process in the sandbox has that long to start

# Imported from where we were imported from, whatever else the environment and the folder say.
PATH_VARIABLE: Final = "SOCKWATCH_LAB_PATH"
BOOT: Final = (
    f"import os, sys; sys.path[:] = os.environ['{PATH_VARIABLE}'].split(os.pathsep); "
    "from {0} import main; main()"
)


class Sandbox:
    """Processes that carry out requests, in a network namespace of their own.

    An ordinary user's sandbox has a user namespace too. With the network of the `host` its ports
    are real, so it keeps to loopback addresses. close() it, or use it as a context manager;
    whatever happens to this process, nothing of the sandbox outlives it. Snapshots may be taken
    in another thread. `many_uids` says whether its processes may run as other users.
    """

    def __init__(
        self, network: Network = "own", on_call: Callable[[SystemCall], None] = lambda _: None
    ) -> None:
        """Set the sandbox up. Raises LabError where the kernel refuses the namespaces or fds."""
        self.network = network
        self.on_call = on_call
        self.processes: list[LabProcess] = []
        self._last_number = 0
        self._lock = threading.Lock()
        self._observer: Connection | None = None
        self._programs: list[subprocess.Popen[bytes]] = []
        if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < FDS_OF_A_SANDBOX:
            raise LabError(
                f"the lab needs {FDS_OF_A_SANDBOX} file descriptors; "
                "raise the limit: ulimit -n 1024"
            )
        self._control, theirs = wire.channel()
        self._control.settimeout(START_S)
        ours, handles = socket.socketpair()
        try:
            with theirs, ours, handles:
                self._start("sockwatch.lab.supervisor", theirs, network)
                self._start("sockwatch.lab.observer", handles)
                self._set_up(ours)
        except (OSError, EOFError) as error:
            self.close()
            raise LabError(f"the sandbox could not be set up: {error}") from error
        except BaseException:
            self.close()
            raise

    def _set_up(self, observer: socket.socket) -> None:
        kept, _, fds = self._receive()
        if "refused" in kept:
            raise LabError(
                f"no namespace for the sandbox: {kept['refused']}; "
                "sockwatch lab run --on-host uses the host's loopback"
            )
        if len(fds) != len(kept["kept"]):
            raise LabError("the namespaces of the sandbox did not arrive")
        self.own_users = "user" in kept["kept"]
        self.many_uids = bool(kept["uids"])
        own = self.network == "own"
        netns = json.dumps(kept["netns"] if own else None)
        socket.send_fds(observer, [netns.encode()], fds if own else [])
        for fd in fds:
            os.close(fd)
        self._observer = Connection(os.dup(observer.fileno()))
        if not self._observer.poll(START_S):
            raise LabError("the sandbox's network could not be set up in time")
        if (failure := self._observer.recv()) is not None:
            raise LabError(f"the sandbox's network could not be set up: {failure}")

    def _start(self, module: str, sock: socket.socket, *arguments: str) -> None:
        """Start one of our programs with the socket, out of reach of the terminal's signals."""
        command = [sys.executable, "-I", "-S", "-c", BOOT.format(module), str(sock.fileno())]
        path = os.pathsep.join(folder for folder in sys.path if folder)
        self._programs.append(
            subprocess.Popen(
                [*command, *arguments],
                pass_fds=(sock.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {PATH_VARIABLE: path},
                start_new_session=True,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hang_up(self) -> None:
        """Have every process exit at once, called from any thread; a step under way fails.

        The thread that uses the sandbox still has to close() it.
        """
        with suppress(OSError):  # it is closed already
            self._control.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End every process, and return once they are gone."""
        self._control.close()
        for process in self.processes:
            process.close()
        with self._lock:  # a snapshot under way still gets its reply
            if self._observer is not None:
                self._observer.close()
                self._observer = None
        for program in self._programs:
            try:
                program.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
        self._programs.clear()

    @property
    def everywhere(self) -> str:
        """The address that stands for all addresses of the sandbox."""
        return EVERYWHERE if self.network == "own" else LOOPBACK

    def start(self, name: str, uid: int | None = None) -> LabProcess:
        """Start a process that waits for requests. Raises LabError."""
        if uid is not None and not self.many_uids:
            raise LabError("a second user needs root: this sandbox has one user only")
        self._last_number += 1
        ours, theirs = wire.channel()
        name = name[:LONGEST_NAME]
        try:
            with theirs:
                command = {"do": "start", "number": self._last_number, "name": name, "uid": uid}
                self._request(command, (theirs.fileno(),))
            process = LabProcess(self._last_number, name, ours, self._report)
        except BaseException:
            ours.close()
            raise
        self.processes.append(process)
        return process

    def signal(self, process: LabProcess, number: signal.Signals) -> None:
        """Signal a process; after SIGSTOP or SIGKILL, return once it has stopped or exited."""
        process.drain()
        command = {"do": "signal", "number": process.number, "signal_number": int(number)}
        self._request(command)
        self.on_call(SystemCall("you", f"kill -{number.name.removeprefix('SIG')} {process.pid}"))
        process.stopped = number == signal.SIGSTOP or (process.stopped and number != signal.SIGCONT)
        if number == signal.SIGKILL:
            process.drain()
            self.drop(process)

    def end_orphans(self, of: LabProcess) -> int:
        """Kill the children that a dead process has left behind, and count them."""
        reply = self._request({"do": "end_orphans", "pids": of.children})
        whom = "child" if len(of.children) == 1 else "children"
        self.on_call(SystemCall("you", f"kill -KILL the {whom} of {of.name}"))
        return int(reply["count"])

    def drop(self, process: LabProcess) -> None:
        """Forget a process; one that is still running exits."""
        process.close()
        if process in self.processes:
            self.processes.remove(process)

    def take_snapshot(self, port: int | None = None) -> Snapshot:
        """A snapshot of the sandbox, of one port or all. Raises LabError, KernelError."""
        snapshot = self._observe("take_snapshot", port)
        assert isinstance(snapshot, Snapshot)
        return snapshot

    def set_sysctl(self, name: str, value: str) -> None:
        """Set net.ipv4.`name` of the sandbox's network namespace. Raises LabError."""
        if self.network == "host":
            raise LabError("settings of the host are not changed")
        self._observe("set_sysctl", name, value)
        self.on_call(SystemCall("you", f"sysctl net.ipv4.{name}='{value}'"))

    def end_time_waits(self, port: int) -> int:
        """End the TIME_WAITs on this port, and count them. Raises LabError, KernelError."""
        if self.network == "host":
            raise LabError("TIME_WAITs of the host are left alone")
        ended = int(self._observe("end_time_waits", port))
        self.on_call(SystemCall("you", f"ss -K state time-wait 'sport = :{port}'"))
        return ended

    def ss(self, port: int) -> str | None:
        """What `ss -ltn` prints about this port; None if ss is not installed."""
        lines = self._observe("ss", port)
        return None if lines is None else str(lines)

    def _report(self, call: SystemCall) -> None:
        # Looked up at each call: who listens changes from step to step.
        self.on_call(call)

    def _observe(self, verb: str, *arguments: Any) -> Any:
        with self._lock:
            if self._observer is None:
                raise LabError("the sandbox is closed")
            try:
                self._observer.send((verb, arguments))
                reply = self._observer.recv()
            except (OSError, EOFError) as error:
                raise LabError("the sandbox is gone") from error
        if isinstance(reply, OSError):
            raise LabError(str(reply)) from reply
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _request(self, command: dict[str, Any], fds: tuple[int, ...] = ()) -> dict[str, Any]:
        try:
            wire.send(self._control, command, fds)
        except OSError as error:
            raise LabError("the sandbox is gone") from error
        while True:
            content, _, _ = self._receive()
            if "ended" in content:
                for process in self.processes:
                    if process.number == content["ended"]:
                        process.alive = False
            if content.get("done"):
                return content

    def _receive(self) -> tuple[dict[str, Any], int, list[int]]:
        try:
            content, pid, fds = wire.receive(self._control)
        except OSError as error:
            raise LabError("the supervisor of the sandbox does not answer") from error
        if content is None:
            raise LabError("the sandbox is gone")
        return content, pid, fds
