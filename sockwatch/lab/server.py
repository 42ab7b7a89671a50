"""A test server: the sockets it opens, and how it serves its connections."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from sockwatch.lab.calls import SystemCalls, name_of
from sockwatch.lab.children import SHUTDOWN_FD, Children
from sockwatch.lab.model import ServerSpec
from sockwatch.lab.namespaces import name_process
from sockwatch.readable import readable

WORKER: Final = "worker"  # what ps and the tables show


class _CloseNow(Exception):  # noqa: N818 - it is no error
    """The server wants its child to close its connection."""


def _close_now(*_: object) -> None:
    raise _CloseNow


class Server:
    """Its `sockets` with their specs, and the `connections` that it has accepted and keeps open.

    A method ``do_X`` carries out the command X and returns the answer, ok if None. An OSError is
    an answer too.
    """

    def __init__(self, calls: SystemCalls) -> None:
        self.calls = calls
        self.sockets: dict[socket.socket, ServerSpec] = {}
        self.connections: list[socket.socket] = []
        self.children = Children(calls)

    @property
    def waited(self) -> list[socket.socket]:
        """What to hand to handle() when it becomes readable."""
        listeners = [
            sock
            for sock, spec in self.sockets.items()
            if spec.protocol == "tcp" and spec.backlog is not None and spec.accepts
            if not spec.workers
        ]
        return listeners + self.connections

    def handle(self, sock: socket.socket) -> None:
        """Accept from a listener, or read from a connection."""
        if sock in self.sockets:
            self._accept(sock, self.sockets[sock])
        elif sock in self.connections:
            self._read(sock)

    def do_open(self, spec: dict[str, Any]) -> dict[str, Any]:
        """socket(), setsockopt(), bind() and listen(), in the order of the spec."""
        wanted = ServerSpec(**spec)
        sock = self.calls.new_socket(wanted.protocol, wanted.address)
        call = "socket"
        try:
            if ":" in wanted.address:
                self.calls.set_v6only(sock, value=wanted.v6only)
            if not wanted.late:
                self.calls.set_flags(sock, wanted)
            call = "bind"
            self.calls.bind(sock, wanted.address, wanted.port)
            call = "setsockopt"
            if wanted.late:
                self.calls.set_flags(sock, wanted)
            if wanted.group is not None:
                self.calls.join_group(sock, wanted.group)
            sock.set_inheritable(not wanted.cloexec)
            if wanted.protocol == "tcp" and wanted.backlog is not None:
                call = "listen"
                self.calls.listen(sock, wanted.backlog)
        except OSError as error:
            self.calls.close(sock)
            name = name_of(error)
            return {"outcome": name if call == "bind" else f"{call} {name}"}
        self.sockets[sock] = wanted
        for _ in range(wanted.workers):
            self.children.fork(lambda: self._work(sock, wanted))
        inode = os.fstat(sock.fileno()).st_ino
        return {"outcome": "ok", "port": sock.getsockname()[1], "inode": inode}

    def do_listen(self, backlog: int) -> dict[str, Any]:
        """listen() on the socket that was opened last."""
        sock, spec = next(reversed(self.sockets.items()))
        try:
            self.calls.listen(sock, backlog)
        except OSError as error:
            return {"outcome": f"listen {name_of(error)}"}
        self.sockets[sock] = replace(spec, backlog=backlog)
        return {"outcome": "ok"}

    def do_set(self, name: str, on: str) -> None:
        """Set a flag afterwards: on the listeners, or on the connections."""
        for sock in list(self.sockets) if on == "listener" else self.connections:
            self.calls.set_flag(sock, name)

    def do_change(self, **changes: Any) -> None:
        """Serve the coming connections differently: `closes`, `accepts`, ..."""
        for sock, spec in self.sockets.items():
            self.sockets[sock] = replace(spec, **changes)

    def do_close(self) -> None:
        """Close the sockets that were opened; connections stay."""
        for sock in list(self.sockets):
            self.calls.close(sock)
            del self.sockets[sock]

    def do_close_connections(self) -> None:
        """Close every connection from this side, those of the children too."""
        for connection in self.connections:
            self.calls.close(connection)
        self.connections.clear()
        self.children.close_connections()

    def do_received(self) -> dict[str, Any]:
        """The datagrams that have come in on the UDP sockets since the last time."""
        texts = []
        for sock, spec in self.sockets.items():
            if spec.protocol != "udp":
                continue
            while readable([sock], 0):
                texts.append(self.calls.read(sock).decode("utf-8", "replace"))
        return {"outcome": "ok", "texts": texts}

    def _accept(self, listener: socket.socket, spec: ServerSpec) -> None:
        connection = self.calls.accept(listener)
        if not spec.forks:
            self._greet(connection, spec)
            return
        kept = listener if spec.execs else None
        self.children.fork(lambda: self._serve_in_child(connection, spec, kept), execs=spec.execs)
        self.calls.close(connection)

    def _work(self, listener: socket.socket, spec: ServerSpec) -> None:
        """Serve what this worker gets of the listener's connections, with or without a master."""
        name_process(WORKER)
        listener.setblocking(False)  # another worker may be faster
        while True:
            waited: list[Any] = [SHUTDOWN_FD, listener, *self.connections]
            ready = readable(waited)
            if SHUTDOWN_FD in ready:
                return
            for sock in ready:
                if sock is not listener:
                    self._read(sock)
                    continue
                with suppress(BlockingIOError):
                    self._greet(self.calls.accept(listener), spec)

    def _serve_in_child(
        self, connection: socket.socket, spec: ServerSpec, kept: socket.socket | None
    ) -> None:
        """Serve this connection alone; of the server's sockets only `kept` stays open."""
        self.connections.clear()
        for sock in self.sockets:
            if sock is not kept:
                sock.close()
        signal.signal(signal.SIGTERM, _close_now)
        try:
            self._greet(connection, spec)
            while connection in self.connections:
                waited: list[Any] = [connection, SHUTDOWN_FD]
                if SHUTDOWN_FD in readable(waited):
                    return
                self._read(connection)
        except _CloseNow:
            self.calls.close(connection)

    def _greet(self, connection: socket.socket, spec: ServerSpec) -> None:
        """The daytime protocol: one line, then close, unless the other side is to close first."""
        with suppress(OSError):  # the client may be gone already
            self.calls.write(connection, f"{time.ctime()}\r\n".encode())
        if spec.closes == "server":
            self.calls.close(connection)
        else:
            self.connections.append(connection)
        self.calls.report(served=True)

    def _read(self, connection: socket.socket) -> None:
        """Drop what the client sends; close the connection once the client has closed it."""
        try:
            data = connection.recv(4096)
        except OSError:
            data = b""
        if not data:
            self.calls.report(call=f"read({connection.fileno()}) = b''")
            self.calls.close(connection)
            self.connections.remove(connection)
            self.calls.report(closed=True)
