"""Real servers that end and bind again, with a restart verdict before."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal, NamedTuple

from sockwatch.bind import BindRequest, RestartVerdict, explain_restart
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import Snapshot
from tests.bind.histories import History, Player
from tests.bind.oracle import Stage, Tracked

End = Literal["SIGTERM", "SIGKILL", "close"]
Answer = tuple[str, str | None]
ENDS: tuple[End, ...] = ("SIGTERM", "SIGKILL", "close")


class Server:
    """A forked process that holds sockets of some stages; `apart` gives it a parent of its own."""

    def __init__(
        self, stages: Sequence[Stage], held: Collection[Tracked], *, apart: bool = False
    ) -> None:
        asked, self._ask = os.pipe()
        self._told, tell = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            try:
                os.close(self._ask)
                if apart and (inner := os.fork()):
                    _close_all_but(stages, ())
                    os.waitpid(inner, 0)
                    return
                _close_all_but(stages, held)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.write(tell, os.getpid().to_bytes(4, "little"))
                os.read(asked, 1)
                for one in held:
                    if one.sock is not None:
                        one.sock.close()
                os.write(tell, b"c")
                os.read(asked, 1)
            finally:
                os._exit(0)
        os.close(asked)
        os.close(tell)
        self.pid = int.from_bytes(os.read(self._told, 4), "little")
        assert self.pid

    def end(self, how: End) -> None:
        """End it, or let it close its sockets."""
        if how == "close":
            os.write(self._ask, b"c")
            assert os.read(self._told, 1) == b"c"
        else:
            self._kill(getattr(signal, how))

    def release(self) -> None:
        """Whatever it did, it is gone afterwards."""
        if self._child:
            self._kill(signal.SIGKILL)
        os.close(self._ask)
        os.close(self._told)

    def _kill(self, number: int) -> None:
        os.kill(self.pid, number)
        os.waitpid(self._child, 0)
        self._child = 0


def _close_all_but(stages: Sequence[Stage], held: Collection[Tracked]) -> None:
    """The child's copies of what belongs to others, and of the far ends."""
    kept = {id(one.sock) for one in held}
    for stage in stages:
        stage.forget_far_ends()
        for one in stage.tracked:
            for sock in (one.peer, one.sock):
                if sock is not None and id(sock) not in kept:
                    sock.close()


@contextmanager
def serving(stages: Sequence[Stage], *shares: Collection[Tracked]) -> Iterator[list[Server]]:
    """A process for each share of the stages' sockets, each the child of another one.

    A socket may be in several shares. This process has none of them any more.
    """
    servers: list[Server] = []
    try:
        for share in shares:
            servers.append(Server(stages, share, apart=len(servers) > 0))
        for stage in stages:
            for one in stage.tracked:
                one.close()
        yield servers
    finally:
        for server in servers:
            server.release()


class Foretold(NamedTuple):
    """What was said before the server ended, and when, by time.monotonic()."""

    said: RestartVerdict
    time: float


class Restart(NamedTuple):
    """What was said, and what the kernel answered to each request so many seconds later."""

    said: RestartVerdict
    kernel: dict[BindRequest, Answer]
    after_s: float

    def complaint(self) -> str | None:
        """What is wrong with the verdict; None if nothing is."""
        if self.said.bind == "depends":
            return None
        if self.said.bind == "ok":
            failed = [answer for answer in self.kernel.values() if {*answer} - {"ok", None}]
            return f"said ok, kernel {failed}" if failed else None
        if self.said.frees_in_s is not None and self.after_s >= self.said.frees_in_s:
            return None  # on a busy host the test itself takes a minute
        answer = self.kernel[self.said.verdict.request]
        return None if answer == (self.said.bind, None) else f"said {self.said.bind}, was {answer}"


def foretell(stage: Stage, reader: SnapshotReader) -> Foretold | None:
    """The restart verdict on the stage's port; None if it has no server."""
    now = time.monotonic()
    snapshot = reader.take(stage.port)
    port = snapshot.port(stage.protocol, stage.port)
    said = None if port is None else explain_restart(port, snapshot)
    return None if said is None else Foretold(said, now)


def bind_again(stage: Stage, foretold: Foretold) -> Restart:
    """Ask the kernel for everything that the server had."""
    kernel = {request: stage.ask(request) for request in foretold.said.requests}
    return Restart(foretold.said, kernel, time.monotonic() - foretold.time)


def clock_s(stage: Stage, snapshot: Snapshot) -> float:
    """How long the last TIME_WAIT of the port has left; 0 if there is none."""
    port = snapshot.port(stage.protocol, stage.port)
    return 0.0 if port is None else port.time_wait.last_frees_in_s or 0.0


class Rehearsal(Player):
    """Plays a history for the state that it leaves; nothing is judged on the way."""

    def do_send(self, which: int, *_: int) -> None:
        """The far end sends what nobody reads."""
        if (one := self._connected(which)) is not None and one.peer is not None:
            with suppress(OSError):
                one.peer.send(b"unread")

    def do_shut(self, which: int, *_: int) -> None:
        """Our end says that it will send no more."""
        if (one := self._connected(which)) is not None and one.sock is not None:
            with suppress(OSError):
                one.sock.shutdown(socket.SHUT_WR)

    def _connected(self, which: int) -> Tracked | None:
        return self._pick(which, lambda t: t.peer is not None)

    def _judge(self, *_: object) -> None:
        pass


def restart_after(
    stage: Stage, reader: SnapshotReader, history: History, shares: Sequence[int], end: End
) -> Restart | None:
    """Restart the first of two servers that the sockets of a history were dealt to.

    `shares` says of each socket who gets it: 1 the first, 2 the second, 3 both. None if no server
    was left.
    """
    Rehearsal(stage).play(history)
    open_now = [one for one in stage.tracked if one.sock is not None]
    dealt = [(one, shares[i % len(shares)]) for i, one in enumerate(open_now)]
    hands = [[one for one, share in dealt if share & mask] for mask in (1, 2)]
    with serving([stage], *hands) as servers:
        foretold = foretell(stage, reader)
        if foretold is None:
            return None
        ending = {process.pid for process in foretold.said.ends}
        for server in servers:
            if server.pid in ending:
                server.end(end)
        return bind_again(stage, foretold)
