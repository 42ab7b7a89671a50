"""The stage: where test servers run, cut off from the host, and how they always go away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Final, Literal, Self

from sockwatch.lab import wire
from sockwatch.lab.actor import PATIENCE_S, Actor
from sockwatch.lab.model import EVERYWHERE, LONGEST_NAME, Call, LabError
from sockwatch.model import Snapshot

Place = Literal["own", "host"]
LOOPBACK: Final = "127.0.0.1"
START_S: Final = 20.0  # a process on the stage has that long to start

# Imported from where we were imported from, whatever else the environment and the folder say.
PATH_VARIABLE: Final = "SOCKWATCH_LAB_PATH"
BOOT: Final = (
    f"import os, sys; sys.path[:] = os.environ['{PATH_VARIABLE}'].split(os.pathsep); "
    "from {0} import main; main()"
)


class Stage:
    """Processes that do what they are told, in a network namespace of their own.

    As an ordinary user within a user namespace. On the `host` its ports are real, so there are
    loopback addresses only. close() it, or use it as a context manager; whatever happens to this
    process, nothing of the stage outlives it. Looks may come from another thread than the rest.
    """

    def __init__(self, place: Place = "own", tell: Callable[[Call], None] = lambda _: None) -> None:
        """Set the stage up. Raises LabError where the kernel refuses the namespaces."""
        self.place = place
        self.tell = tell
        self.actors: list[Actor] = []
        self._numbers = 0
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._control, theirs = wire.channel()
        self._control.settimeout(START_S)
        ours, handles = socket.socketpair()
        try:
            with theirs, ours, handles:
                self._start("sockwatch.lab.keeper", theirs, place)
                self._start("sockwatch.lab.observer", handles)
                self._set_up(ours)
        except (OSError, EOFError) as error:
            self.close()
            raise LabError(f"the stage could not be set up: {error}") from error
        except BaseException:
            self.close()
            raise

    def _set_up(self, observer: socket.socket) -> None:
        kept, _, fds = self._hear()
        if "refused" in kept:
            raise LabError(
                f"no namespace for the stage: {kept['refused']}; "
                "sockwatch lab run --on-host uses the host's loopback"
            )
        self.own_users = "user" in kept["kept"]
        self.many_uids = bool(kept["uids"])
        socket.send_fds(observer, [b"n"], fds if self.place == "own" else [])
        for fd in fds:
            os.close(fd)
        self._observer = Connection(os.dup(observer.fileno()))
        if not self._observer.poll(START_S):
            raise LabError("the stage's network could not be set up in time")
        if (failure := self._observer.recv()) is not None:
            raise LabError(f"the stage's network could not be set up: {failure}")

    def _start(self, module: str, sock: socket.socket, *arguments: str) -> None:
        """Start one of our programs with the socket; our terminal's signals are not for it."""
        command = [sys.executable, "-I", "-S", "-c", BOOT.format(module), str(sock.fileno())]
        path = os.pathsep.join(folder for folder in sys.path if folder)
        self._processes.append(
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
        """Have every process end at once, from whatever thread: a step under way hears it.

        close() is still to be called, by the thread that uses the stage.
        """
        with suppress(OSError):  # it is closed already
            self._control.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End every process; they are gone when this returns."""
        self._control.close()
        for actor in self.actors:
            actor.close()
        if hasattr(self, "_observer"):
            self._observer.close()
        for process in self._processes:
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    @property
    def everywhere(self) -> str:
        """The address that stands for all addresses of the stage."""
        return EVERYWHERE if self.place == "own" else LOOPBACK

    def start(self, name: str, uid: int | None = None) -> Actor:
        """A process that waits for what it is told. Raises LabError."""
        if uid is not None and not self.many_uids:
            raise LabError("a second user needs root: this stage has one user only")
        self._numbers += 1
        ours, theirs = wire.channel()
        name = name[:LONGEST_NAME]
        try:
            with theirs:
                command = {"do": "start", "number": self._numbers, "name": name, "uid": uid}
                self._ask(command, (theirs.fileno(),))
            actor = Actor(self._numbers, name, ours, self._told)
        except BaseException:
            ours.close()
            raise
        self.actors.append(actor)
        return actor

    def signal(self, actor: Actor, number: signal.Signals) -> None:
        """Signal a process of the stage; a stop or an end has come when this returns."""
        actor.drain()
        command = {"do": "signal", "number": actor.number, "signal_number": int(number)}
        self._ask(command)
        self.tell(Call("you", f"kill -{number.name.removeprefix('SIG')} {actor.pid}"))
        actor.stopped = number == signal.SIGSTOP or (actor.stopped and number != signal.SIGCONT)
        if number == signal.SIGKILL:
            actor.drain()
            self.drop(actor)

    def end_orphans(self, of: Actor) -> int:
        """Kill the children that a dead process has left behind; how many there were."""
        answer = self._ask({"do": "end_orphans", "pids": of.children})
        self.tell(Call("you", f"kill -KILL the child of {of.name}"))
        return int(answer["count"])

    def drop(self, actor: Actor) -> None:
        """Forget a process; one that is still there ends."""
        actor.close()
        if actor in self.actors:
            self.actors.remove(actor)

    def look(self, port: int | None = None) -> Snapshot:
        """One look at the stage. Raises LabError, KernelError."""
        snapshot = self._observe("look", port)
        assert isinstance(snapshot, Snapshot)
        return snapshot

    def set_sysctl(self, name: str, value: str) -> None:
        """Set net.ipv4.`name` of the stage's network namespace. Raises LabError."""
        if self.place == "host":
            raise LabError("a setting of the host is not changed")
        self._observe("set_sysctl", name, value)
        self.tell(Call("you", f"sysctl net.ipv4.{name}='{value}'"))

    def end_time_waits(self, port: int) -> int:
        """End the TIME_WAITs on this port; how many. Raises LabError, KernelError."""
        if self.place == "host":
            raise LabError("TIME_WAITs of the host are left alone")
        ended = int(self._observe("end_time_waits", port))
        self.tell(Call("you", f"ss -K state time-wait 'sport = :{port}'"))
        return ended

    def ss(self, port: int) -> str | None:
        """What `ss -ltn` prints of this port; None where ss is not installed."""
        lines = self._observe("ss", port)
        return None if lines is None else str(lines)

    def _told(self, call: Call) -> None:
        # Looked up at each call: who listens changes from step to step.
        self.tell(call)

    def _observe(self, verb: str, *arguments: Any) -> Any:
        with self._lock:
            try:
                self._observer.send((verb, arguments))
                answer = self._observer.recv()
            except (OSError, EOFError) as error:
                raise LabError("the stage is gone") from error
        if isinstance(answer, OSError):
            raise LabError(str(answer)) from answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _ask(self, command: dict[str, Any], fds: tuple[int, ...] = ()) -> dict[str, Any]:
        try:
            wire.send(self._control, command, fds)
        except OSError as error:
            raise LabError("the stage is gone") from error
        while True:
            content, _, _ = self._hear()
            if "ended" in content:
                for actor in [a for a in self.actors if a.number == content["ended"]]:
                    actor.alive = False
            if content.get("done"):
                return content

    def _hear(self) -> tuple[dict[str, Any], int, list[int]]:
        try:
            content, pid, fds = wire.receive(self._control)
        except OSError as error:
            raise LabError("the keeper of the stage does not answer") from error
        if content is None:
            raise LabError("the stage is gone")
        return content, pid, fds
