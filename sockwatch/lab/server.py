"""A process in the sandbox: a test server or client that does what it is told over its channel.

It is made by fork() from the supervisor, so that another user's server needs no interpreter of its
own, and it tells every system call on sockets with the kernel's answer.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import time
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final, NoReturn

from sockwatch.lab import calls as socket_calls
from sockwatch.lab import wire
from sockwatch.lab.calls import SystemCalls, name_of
from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.lab.namespaces import name_process

CHANNEL_FD: Final = 100  # out of the way, so that the first socket is 3 as in a textbook
SHUTDOWN_FD: Final = 101
WAKE_FD: Final = 102
FIRST_PIPE_FD: Final = 200
CHILD_PROGRAM: Final = "cat"  # copies the shutdown pipe, on which nothing comes, and ends with it


class _CloseNow(Exception):  # noqa: N818 - it is no error
    """The server wants its child to close its connection."""


def _close_now(*_: object) -> None:
    raise _CloseNow


def run(channel_fd: int, shutdown_fd: int, name: str) -> NoReturn:
    """Serve the channel until it ends; never returns.

    The shutdown pipe is the reading end of a pipe that ends with the supervisor.
    """
    name_process(name)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(channel_fd, CHANNEL_FD, inheritable=False)
    os.dup2(shutdown_fd, SHUTDOWN_FD, inheritable=False)
    for fd in range(3):
        os.dup2(nowhere, fd)
    os.closerange(3, CHANNEL_FD)
    os.closerange(SHUTDOWN_FD + 1, os.sysconf("SC_OPEN_MAX"))
    _wake_for_children()
    channel = socket.socket(fileno=CHANNEL_FD)
    try:
        Server(channel).serve()
    except BaseException as error:  # noqa: BLE001 - the parent's code must not run on here
        SystemCalls(channel).report(broken=f"{type(error).__name__}: {error}")
    finally:
        os._exit(0)


def _wake_for_children() -> None:
    """A child's end makes WAKE_FD readable."""
    reader, writer = os.pipe()
    os.dup2(reader, WAKE_FD, inheritable=False)
    os.dup2(writer, WAKE_FD + 1, inheritable=False)
    os.close(reader)
    os.close(writer)
    for fd in (WAKE_FD, WAKE_FD + 1):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(WAKE_FD + 1)
    signal.signal(signal.SIGCHLD, lambda *_: None)


class Server:
    """`connections` are the accepted ones that stay open, `held` those of a client.

    `children` are not waited for yet, so their pids are theirs; each has a pipe that ends when the
    child has closed its connection.
    """

    def __init__(self, channel: socket.socket) -> None:
        self.calls = SystemCalls(channel)
        self.sockets: dict[socket.socket, ServerSpec] = {}
        self.connections: list[socket.socket] = []
        self.held: list[socket.socket] = []
        self.children: dict[int, int] = {}

    def serve(self) -> None:
        channel = self.calls.channel
        self.calls.report(hello=True)
        while True:
            accepting = [
                sock
                for sock, spec in self.sockets.items()
                if spec.protocol == "tcp" and spec.backlog is not None and spec.accepts
            ]
            waited: list[Any] = [WAKE_FD, channel, *accepting, *self.connections]
            ready, _, _ = select.select(waited, [], [])
            if WAKE_FD in ready:
                os.read(WAKE_FD, 4096)
                self._reap()
            # What has come is dealt with before a command, which may be about it.
            for sock in ready:
                if sock in self.sockets:
                    self._accept(sock, self.sockets[sock])
                elif sock in self.connections:
                    self._read_end(sock)
            if channel in ready:
                command, _, _ = wire.receive(channel)
                if command is None:
                    return
                self._execute(command)

    def _execute(self, command: dict[str, Any]) -> None:
        verb = command.pop("do")
        try:
            result = getattr(self, f"do_{verb}")(**command)
        except OSError as error:
            result = {"outcome": name_of(error)}
        self.calls.report(done=True, **(result or {"outcome": "ok"}))

    def do_open(self, spec: dict[str, Any]) -> dict[str, Any]:
        """socket(), setsockopt(), bind() and listen(), in the order of the spec."""
        wanted = ServerSpec(**spec)
        sock = self.calls.new_socket(wanted.protocol, wanted.address)
        step = "socket"
        try:
            if ":" in wanted.address:
                self.calls.set_v6only(sock, value=wanted.v6only)
            if not wanted.late:
                self._set_flags(sock, wanted)
            step = "bind"
            self.calls.bind(sock, wanted.address, wanted.port)
            step = "setsockopt"
            if wanted.late:
                self._set_flags(sock, wanted)
            if wanted.group is not None:
                self.calls.join_group(sock, wanted.group)
            sock.set_inheritable(not wanted.cloexec)
            if wanted.protocol == "tcp" and wanted.backlog is not None:
                step = "listen"
                self.calls.listen(sock, wanted.backlog)
        except OSError as error:
            self.calls.close(sock)
            name = name_of(error)
            return {"outcome": name if step == "bind" else f"{step} {name}"}
        self.sockets[sock] = wanted
        return {
            "outcome": "ok",
            "port": sock.getsockname()[1],
            "inode": socket_calls.inode(sock),
        }

    def _set_flags(self, sock: socket.socket, spec: ServerSpec) -> None:
        if spec.reuseaddr:
            self.calls.set_flag(sock, "SO_REUSEADDR")
        if spec.reuseport:
            self.calls.set_flag(sock, "SO_REUSEPORT")

    def do_listen(self, backlog: int) -> dict[str, Any]:
        """listen() on the socket that was opened last."""
        sock, spec = next(reversed(self.sockets.items()))
        try:
            self.calls.listen(sock, backlog)
        except OSError as error:
            return {"outcome": f"listen {name_of(error)}"}
        self.sockets[sock] = ServerSpec(**(asdict(spec) | {"backlog": backlog}))
        return {"outcome": "ok"}

    def do_set(self, name: str, on: str) -> None:
        """A flag set afterwards: on the listeners, or on the connections."""
        for sock in list(self.sockets) if on == "listener" else self.connections:
            self.calls.set_flag(sock, name)

    def do_change(self, **changes: Any) -> None:
        """Serve the coming connections differently: `closes`, `accepts`, ..."""
        for sock, spec in self.sockets.items():
            self.sockets[sock] = ServerSpec(**(asdict(spec) | changes))

    def do_close(self) -> None:
        """Close the sockets of the server; connections stay."""
        for sock in list(self.sockets):
            self.calls.close(sock)
            del self.sockets[sock]

    def do_close_connections(self) -> None:
        """Close every connection from this side, those of the children too."""
        for connection in self.connections:
            self.calls.close(connection)
        self.connections.clear()
        for pid, pipe in self.children.items():
            os.kill(pid, signal.SIGTERM)
            os.read(pipe, 1)
        self._reap()

    def do_finish(self, *, first: bool = False) -> dict[str, Any]:
        """A client: close each connection after its end has come, or `first`, after one line."""
        for connection in self.held:
            with suppress(OSError):  # one that waits for its connection is closed all the same
                while not _is_itself(connection) and self.calls.read(connection) and not first:
                    pass
            self.calls.close(connection)
        count = len(self.held)
        self.held.clear()
        return {"outcome": "ok", "count": count}

    def do_connect(self, spec: dict[str, Any]) -> dict[str, Any]:
        """A client's connections; the first that fails ends it. `waiting` did not get through."""
        wanted = ClientSpec(**spec)
        made = waiting = 0
        for _ in range(wanted.count):
            sock = self.calls.new_socket("tcp", wanted.to)
            step = "bind"
            try:
                if wanted.reuseaddr:
                    self.calls.set_flag(sock, "SO_REUSEADDR")
                if wanted.reuseport:
                    self.calls.set_flag(sock, "SO_REUSEPORT")
                if wanted.binds:
                    any_address = "::" if ":" in wanted.to else "0.0.0.0"  # noqa: S104
                    self.calls.bind(sock, wanted.address or any_address, wanted.port)
                step = "connect"
                sock.settimeout(wanted.patience_s)
                self.calls.connect(sock, wanted.to, wanted.to_port)
                step = "read"
                self._use(sock, wanted)
            except TimeoutError:
                waiting += 1
                sock.setblocking(False)
                self.held.append(sock)
            except OSError as error:
                self.calls.close(sock)
                name = name_of(error)
                return {"outcome": name if step == "bind" else f"{step} {name}", "made": made}
            else:
                made += 1
        return {"outcome": "ok", "made": made, "waiting": waiting}

    def _use(self, sock: socket.socket, spec: ClientSpec) -> None:
        if _is_itself(sock) or spec.closes == "nobody":
            self.held.append(sock)
            return
        self.calls.read(sock)
        if spec.closes == "server":
            while self.calls.read(sock):
                pass
        self.calls.close(sock)

    def do_send(self, to: str, port: int, text: str) -> dict[str, Any]:
        """One datagram, a multicast one by the loopback device."""
        with self.calls.new_socket("udp", to) as sock:
            if ":" not in to:
                sock.setsockopt(
                    socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1")
                )
            where = (to, port)
            self.calls.make(
                f"sendto({sock.fileno()}, {text!r}, {socket_calls.written(where)})",
                lambda: sock.sendto(text.encode(), where),
                str,
            )
        return {"outcome": "ok"}

    def do_received(self) -> dict[str, Any]:
        """What has come in on the UDP sockets since the last question."""
        texts = []
        for sock, spec in self.sockets.items():
            if spec.protocol != "udp":
                continue
            while select.select([sock], [], [], 0)[0]:
                texts.append(self.calls.read(sock).decode("utf-8", "replace"))
        return {"outcome": "ok", "texts": texts}

    def _accept(self, listener: socket.socket, spec: ServerSpec) -> None:
        connection = self.calls.accept(listener)
        if not spec.forks:
            self._greet(connection, spec)
            return
        ends = os.pipe()
        reader, writer = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_PIPE_FD) for fd in ends)
        for fd in ends:
            os.close(fd)
        pid = os.fork()
        if pid:
            os.close(writer)
            self.children[pid] = reader
            self.calls.report(call="fork()", child=pid)
            self.calls.close(connection)
            return
        try:
            self._be_child(listener, connection, spec)
            os.close(writer)
            if spec.execs:
                self.calls.report(call=f"execlp({CHILD_PROGRAM!r}, {CHILD_PROGRAM!r}, NULL)")
                os.dup2(SHUTDOWN_FD, 0)
                os.execlp(CHILD_PROGRAM, CHILD_PROGRAM)  # noqa: S606 - that is what it shows
        finally:
            os._exit(0)

    def _be_child(
        self, listener: socket.socket, connection: socket.socket, spec: ServerSpec
    ) -> None:
        signal.set_wakeup_fd(-1)
        self.connections.clear()
        for sock in self.sockets:
            if not (spec.execs and sock is listener):
                sock.close()
        signal.signal(signal.SIGTERM, _close_now)
        try:
            self._greet(connection, spec)
            while connection in self.connections:
                ready: list[Any] = [connection, SHUTDOWN_FD]
                if SHUTDOWN_FD in select.select(ready, [], [])[0]:
                    return
                self._read_end(connection)
        except _CloseNow:
            self.calls.close(connection)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                os.close(self.children.pop(pid))

    def _greet(self, connection: socket.socket, spec: ServerSpec) -> None:
        """The daytime protocol: one line, then close, unless the other side is to close first."""
        with suppress(OSError):  # the client may be gone already
            self.calls.write(connection, f"{time.ctime()}\r\n".encode())
        if spec.closes == "server":
            self.calls.close(connection)
        else:
            self.connections.append(connection)
        self.calls.report(served=True)

    def _read_end(self, connection: socket.socket) -> None:
        try:
            more = connection.recv(4096)
        except OSError:
            more = b""
        if not more:
            self.calls.report(call=f"read({connection.fileno()}) = b''")
            self.calls.close(connection)
            self.connections.remove(connection)
            self.calls.report(closed=True)


def _is_itself(sock: socket.socket) -> bool:
    """Whether it is connected to itself."""
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:  # not connected
        return False
