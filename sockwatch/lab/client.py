"""A test client: its connections, and the datagrams it sends."""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import Any, Final

from sockwatch.lab.calls import SystemCalls, name_of
from sockwatch.lab.model import ClientSpec

LATE: Final = b"late\r\n"
RESET_S: Final = 2.0  # how long a reset may take to come


class Client:
    """`held` are its open connections, or those that still wait to be connected.

    A method ``do_X`` carries out the command X and returns the answer.
    """

    def __init__(self, calls: SystemCalls) -> None:
        self.calls = calls
        self.held: list[socket.socket] = []

    def do_connect(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Make connections until one fails; `waiting` counts those that got no answer in time."""
        wanted = ClientSpec(**spec)
        made = waiting = 0
        for _ in range(wanted.count):
            sock = self.calls.new_socket("tcp", wanted.to)
            call = "bind"
            try:
                self.calls.set_flags(sock, wanted)
                if wanted.binds:
                    any_address = "::" if ":" in wanted.to else "0.0.0.0"  # noqa: S104
                    self.calls.bind(sock, wanted.address or any_address, wanted.port)
                call = "connect"
                sock.settimeout(wanted.patience_s)
                self.calls.connect(sock, wanted.to, wanted.to_port)
                call = "read"
                self._use(sock, wanted)
            except TimeoutError:
                waiting += 1
                sock.setblocking(False)
                self.held.append(sock)
            except OSError as error:
                self.calls.close(sock)
                name = name_of(error)
                return {"outcome": name if call == "bind" else f"{call} {name}", "made": made}
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

    def do_finish(self, *, first: bool = False) -> dict[str, Any]:
        """Close each connection once the server has, or `first`: after reading one line."""
        for connection in self.held:
            with suppress(OSError):  # also close one that is still connecting
                while not _is_itself(connection) and self.calls.read(connection) and not first:
                    pass
            self.calls.close(connection)
        count = len(self.held)
        self.held.clear()
        return {"outcome": "ok", "count": count}

    def do_write(self) -> dict[str, Any]:
        """Write on each connection, and again after a reset or RESET_S; stops at a failure."""
        for connection in self.held:
            self.calls.write(connection, LATE)
            answer = select.poll()
            answer.register(connection, 0)  # a hangup or an error is told even so
            answer.poll(RESET_S * 1000)
            self.calls.write(connection, LATE)
        return {"outcome": "ok"}

    def do_send(self, to: str, port: int, text: str) -> dict[str, Any]:
        """Send one datagram, a multicast one by the loopback device."""
        with self.calls.new_socket("udp", to) as sock:
            if ":" not in to:
                sock.setsockopt(
                    socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1")
                )
            self.calls.sendto(sock, text, to, port)
        return {"outcome": "ok"}


def _is_itself(sock: socket.socket) -> bool:
    """Whether the socket is connected to itself."""
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:  # not connected
        return False
