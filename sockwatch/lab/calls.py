"""Socket calls that are reported as they happen, written as strace(1) writes them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from sockwatch.lab import wire
from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.units import endpoint

Result = TypeVar("Result")
Address = tuple[Any, ...]

FLAGS: Final = {"SO_REUSEADDR": socket.SO_REUSEADDR, "SO_REUSEPORT": socket.SO_REUSEPORT}


class SystemCalls:
    """Makes the calls of one process, and reports each with the kernel's answer on its channel.

    Every call raises OSError when the kernel refuses, after reporting it.
    """

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel

    def report(self, **content: Any) -> None:
        """Send a message; without a reader, which means that the sandbox is closing, do nothing."""
        with suppress(OSError):
            wire.send(self.channel, content)

    def make(
        self, text: str, call: Callable[[], Result], shown: Callable[[Result], str] = lambda _: "0"
    ) -> Result:
        """Make the call and report it as `text`; `shown` writes its result."""
        try:
            result = call()
        except OSError as error:
            self.report(call=f"{text} = -1 {name_of(error)}")
            raise
        self.report(call=f"{text} = {shown(result)}")
        return result

    def new_socket(self, protocol: str, address: str) -> socket.socket:
        """Make a socket, AF_INET6 if the address has a colon."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        return self.make(
            f"socket({family.name}, {kind.name}, 0)",
            lambda: socket.socket(family, kind),
            lambda made: str(made.fileno()),
        )

    def set_flag(self, sock: socket.socket, name: str) -> None:
        """Set ``SO_REUSEADDR`` or ``SO_REUSEPORT``."""
        self.make(
            f"setsockopt({sock.fileno()}, SOL_SOCKET, {name}, 1)",
            lambda: sock.setsockopt(socket.SOL_SOCKET, FLAGS[name], 1),
        )

    def set_flags(self, sock: socket.socket, spec: ServerSpec | ClientSpec) -> None:
        """Set those reuse flags that the spec has."""
        if spec.reuseaddr:
            self.set_flag(sock, "SO_REUSEADDR")
        if spec.reuseport:
            self.set_flag(sock, "SO_REUSEPORT")

    def set_v6only(self, sock: socket.socket, *, value: bool) -> None:
        """Set IPV6_V6ONLY."""
        self.make(
            f"setsockopt({sock.fileno()}, IPPROTO_IPV6, IPV6_V6ONLY, {int(value)})",
            lambda: sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, value),
        )

    def join_group(self, sock: socket.socket, group: str) -> None:
        """Join a multicast group on the loopback device."""
        self.make(
            f"setsockopt({sock.fileno()}, IPPROTO_IP, IP_ADD_MEMBERSHIP, {group} on 127.0.0.1)",
            lambda: sock.setsockopt(
                socket.IPPROTO_IP,
                socket.IP_ADD_MEMBERSHIP,
                socket.inet_aton(group) + socket.inet_aton("127.0.0.1"),
            ),
        )

    def bind(self, sock: socket.socket, address: str, port: int) -> None:
        """Bind the socket."""
        where = (address, port)
        self.make(f"bind({sock.fileno()}, {written(where)})", lambda: sock.bind(where))

    def listen(self, sock: socket.socket, backlog: int) -> None:
        """Listen on the socket."""
        self.make(f"listen({sock.fileno()}, {backlog})", lambda: sock.listen(backlog))

    def accept(self, sock: socket.socket) -> socket.socket:
        """Accept a connection, and return it."""
        connection, _ = self.make(
            f"accept({sock.fileno()})",
            sock.accept,
            lambda made: f"{made[0].fileno()}, from {written(made[1])}",
        )
        return connection

    def connect(self, sock: socket.socket, address: str, port: int) -> None:
        """Connect. Raises TimeoutError after the timeout of the socket."""
        where = (address, port)
        self.make(
            f"connect({sock.fileno()}, {written(where)})",
            lambda: sock.connect(where),
            lambda _: f"0, from {written(sock.getsockname())}",
        )

    def sendto(self, sock: socket.socket, text: str, address: str, port: int) -> None:
        """Send a datagram."""
        where = (address, port)
        self.make(
            f"sendto({sock.fileno()}, {text!r}, {written(where)})",
            lambda: sock.sendto(text.encode(), where),
            str,
        )

    def write(self, sock: socket.socket, data: bytes) -> None:
        """Send the data, as a write."""
        self.make(f"write({sock.fileno()}, {data!r})", lambda: sock.send(data), str)

    def read(self, sock: socket.socket) -> bytes:
        """Receive at most 4096 bytes, as a read."""
        return self.make(f"read({sock.fileno()})", lambda: bytes(sock.recv(4096)), repr)

    def close(self, sock: socket.socket) -> None:
        """Close the socket."""
        self.make(f"close({sock.fileno()})", sock.close)


def name_of(error: OSError) -> str:
    """``EADDRINUSE``; ``EINPROGRESS`` for a connect() without an answer in time."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return "EINPROGRESS"
    return errno.errorcode.get(error.errno or 0, str(error))


def written(address: Address) -> str:
    """``127.0.0.1:10013``, ``[::1]:10013``."""
    return endpoint(*address[:2])
