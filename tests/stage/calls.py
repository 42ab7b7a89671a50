"""The calls that fail, and what the failing process does to make them."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sockwatch.bind.halted import LONG_SLEEP_S
from tests.stage.actors import as_uid, listen, start
from tests.support.child import in_child
from tests.support.libc import libc
from tests.support.netns import enter_new_user_namespace
from tests.support.seccomp import refuse
from tests.support.waiting import wait_until

NETLINK_XFRM = 6  # only root may join its groups
NO_FD = 999


@dataclass(frozen=True)
class Call:
    """The bind(), and listen(), that fails; `path` is that of a unix socket."""

    address: str = "127.0.0.1"
    port: int = 8080
    udp: bool = False
    reuseaddr: bool = False
    reuseport: bool = False
    uid: int = 0
    path: str | None = None

    @property
    def words(self) -> list[str]:
        """Arguments of `sockwatch why`."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        flags = [f"--{name}" for name in ("udp", "reuseaddr", "reuseport") if getattr(self, name)]
        return [f"{host}:{self.port}", *flags, *(["--uid", str(self.uid)] if self.uid else [])]

    def attempt(self) -> str:
        """What the kernel answers now to this user: ok, or the name of the errno."""
        if self.uid and os.getuid() == 0:
            return in_child(as_uid, self.uid, self.attempt)  # type: ignore[no-any-return]
        kind = socket.SOCK_DGRAM if self.udp else socket.SOCK_STREAM
        family: int = socket.AF_UNIX
        name: Any = self.path
        if self.path is None:  # bind() itself would leave out the zone
            family, _, _, _, name = socket.getaddrinfo(self.address.encode(), self.port, type=kind)[
                0
            ]
        with socket.socket(family, kind) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, self.reuseaddr)
            if self.path is None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, self.reuseport)
            try:
                sock.bind(name)
                if not self.udp:
                    sock.listen()
            except OSError as error:
                return errno.errorcode[error.errno or 0]
        if self.path is not None:
            os.unlink(self.path)
        return "ok"


def fail(act: Callable[[Call], Any], call: Call) -> Any:
    """Do so as the user of the call."""
    return as_uid(call.uid, act, call) if call.uid else act(call)


def listen_first(call: Call) -> list[object]:
    """A server that is told to listen once more."""
    return [listen(), call.attempt()]


def once_more(call: Call) -> None:
    """A server that tries again after a while."""
    call.attempt()
    started = time.monotonic()
    wait_until(lambda: time.monotonic() - started > 1.5 * LONG_SLEEP_S, pause_s=0.1)
    call.attempt()


def in_a_worker(call: Call) -> list[object]:
    """A worker that has the socket of its parent, and makes another one."""
    return [listen(), start("worker", call.attempt)]


def in_a_sandbox(call: Call) -> list[object]:
    """A server whose bind() is refused by a filter."""
    refuse("bind", errno.EACCES)
    return [call.attempt()]


def in_a_user_namespace(call: Call) -> list[object]:
    """A server that is root elsewhere, and here nobody."""
    enter_new_user_namespace()
    return [call.attempt()]


def without_a_socket(_: Call) -> object:
    """The fd is not open."""
    return libc.listen(NO_FD, 1)


def twice_on_one_socket(call: Call) -> list[object]:
    """A socket that is bound, to any port, and then to that of the call."""
    sock = socket.create_server((call.address, 0))
    return [sock, refused(lambda: sock.bind((call.address, call.port)))]


def with_an_ipv6_address(_: Call) -> list[object]:
    """An IPv4 socket."""
    sock = socket.socket()
    address = bytes([socket.AF_INET6]).ljust(28, b"\0")
    return [sock, libc.bind(sock.fileno(), address, len(address))]


def two_netlink_sockets(_: Call) -> list[object]:
    """Both want the same port id."""
    one, other = (socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) for _ in range(2))
    one.bind((4242, 0))
    return [one, other, refused(lambda: other.bind((4242, 0)))]


def to_a_netlink_group(_: Call) -> list[object]:
    """One for which the user lacks the right."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM)
    return [sock, refused(lambda: sock.bind((0, 1)))]


def refused(act: Callable[[], object]) -> str:
    """The name of the errno."""
    try:
        act()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    raise AssertionError("it was not refused")
