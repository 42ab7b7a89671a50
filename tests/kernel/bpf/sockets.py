"""One real socket in each state, with the flags asked for."""

from __future__ import annotations

import socket
from contextlib import suppress
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from sockwatch.kernel.bpf.flags import OPTIONS_OF_BYTE
from sockwatch.kernel.sock_diag.inet_diag import address_text
from tests.support.full_window import fill
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from sockwatch.kernel.bpf.rows import SocketCount, SocketRow

LOCALHOST: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
WILDCARD: dict[int, str] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
ESTABLISHED, SYN_SENT, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSE = 1, 2, 4, 5, 6, 7
CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING, HALF_OPEN = 8, 9, 10, 11, 12


class Flags(NamedTuple):
    """What a test asks of a socket."""

    family: int
    reuseaddr: bool
    reuseport: bool
    v6only: bool


ALL_FLAGS = [
    Flags(family, reuseaddr, reuseport, v6only)
    for family, v6only in (
        (socket.AF_INET, False),
        (socket.AF_INET6, False),
        (socket.AF_INET6, True),
    )
    for reuseaddr, reuseport in product((False, True), repeat=2)
]


def flags_of(row: SocketRow | SocketCount) -> Flags:
    """What the kernel says of the socket, or of all in the group."""
    (reuseaddr, reuseport, _), v6only = OPTIONS_OF_BYTE[row.flags]
    assert reuseaddr is not None
    assert reuseport is not None
    assert v6only is not None
    return Flags(row.family, reuseaddr, reuseport, v6only)


def address_of(row: SocketRow | SocketCount) -> str:
    """The local address as text."""
    return address_text(row.family, row.packed_address)


def new_socket(flags: Flags, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A socket with the flags, not bound yet."""
    sock = socket.socket(flags.family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, flags.reuseaddr)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, flags.reuseport)
    if flags.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, flags.v6only)
    return sock


def tcp_state(sock: socket.socket) -> int:
    """The kernel's number of the state."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def plain_listener(family: int, backlog: int = 16) -> socket.socket:
    """A listener on loopback without reuse flags."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind((LOCALHOST[family], 0))
    listener.listen(backlog)
    return listener


def pair(flags: Flags) -> tuple[socket.socket, socket.socket]:
    """(the subject, which connected; its peer)."""
    subject = new_socket(flags)
    with plain_listener(flags.family) as listener:
        subject.connect(listener.getsockname())
        peer, _ = listener.accept()
    return subject, peer


def listening(flags: Flags) -> list[socket.socket]:
    subject = new_socket(flags)
    subject.bind((WILDCARD[flags.family], 0))
    subject.listen()
    return [subject]


def syn_sent(flags: Flags) -> list[socket.socket]:
    listener = plain_listener(flags.family, 0)
    first = socket.create_connection(listener.getsockname()[:2])  # fills the accept queue
    subject = new_socket(flags)
    subject.setblocking(False)
    with suppress(BlockingIOError):
        subject.connect(listener.getsockname())
    return [subject, listener, first]


def half_open(flags: Flags) -> list[socket.socket]:
    """The listener's request: it waits for the data that TCP_DEFER_ACCEPT demands."""
    listener = new_socket(flags)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 60)
    listener.bind((WILDCARD[flags.family], 0))
    listener.listen()
    client = socket.create_connection((LOCALHOST[flags.family], listener.getsockname()[1]))
    return [listener, client]


def established(flags: Flags) -> list[socket.socket]:
    return [*pair(flags)]


def fin_wait1(flags: Flags) -> list[socket.socket]:
    subject, peer = pair(flags)
    fill(subject)
    subject.shutdown(socket.SHUT_WR)
    return [subject, peer]


def fin_wait2(flags: Flags) -> list[socket.socket]:
    subject, peer = pair(flags)
    subject.shutdown(socket.SHUT_WR)
    wait_until(lambda: tcp_state(subject) == FIN_WAIT2)
    return [subject, peer]


def mini_fin_wait2(flags: Flags) -> list[socket.socket]:
    subject, peer = fin_wait2(flags)
    return [closed(subject), peer]


def close_wait(flags: Flags) -> list[socket.socket]:
    subject, peer = pair(flags)
    peer.shutdown(socket.SHUT_WR)
    wait_until(lambda: tcp_state(subject) == CLOSE_WAIT)
    return [subject, peer]


def last_ack(flags: Flags) -> list[socket.socket]:
    subject, peer = pair(flags)
    fill(subject)
    peer.shutdown(socket.SHUT_WR)
    wait_until(lambda: tcp_state(subject) == CLOSE_WAIT)
    return [closed(subject), peer]


def closing(flags: Flags) -> list[socket.socket]:
    subject, peer = fin_wait1(flags)
    peer.shutdown(socket.SHUT_WR)
    return [subject, peer]


def time_wait(flags: Flags) -> list[socket.socket]:
    subject, peer = fin_wait2(flags)
    peer.close()
    return [closed(subject)]


def unaccepted(flags: Flags) -> list[socket.socket]:
    """A connection in the accept queue; it has the listener's flags."""
    listener = listening(flags)[0]
    client = socket.create_connection((LOCALHOST[flags.family], listener.getsockname()[1]))
    return [listener, client]


def closed(subject: socket.socket) -> socket.socket:
    """Close it; what comes back only knows the port it had."""
    return _Closed(subject)


class _Closed(socket.socket):
    def __init__(self, subject: socket.socket) -> None:
        super().__init__(socket.AF_UNIX)
        self._name = subject.getsockname()
        subject.close()

    def getsockname(self) -> tuple[object, ...]:
        return tuple(self._name)


def bound_only(flags: Flags) -> list[socket.socket]:
    subject = new_socket(flags)
    subject.bind((WILDCARD[flags.family], 0))
    return [subject]


def shut_listener(flags: Flags) -> list[socket.socket]:
    subject = new_socket(flags)
    # A port that the kernel chose would be dropped by shutdown().
    subject.bind((WILDCARD[flags.family], 20_000 + ALL_FLAGS.index(flags)))
    subject.listen()
    subject.shutdown(socket.SHUT_RDWR)
    return [subject]


def udp_bound(flags: Flags) -> list[socket.socket]:
    subject = new_socket(flags, socket.SOCK_DGRAM)
    subject.bind((WILDCARD[flags.family], 0))
    return [subject]


def udp_connected(flags: Flags) -> list[socket.socket]:
    subject = new_socket(flags, socket.SOCK_DGRAM)
    subject.connect((LOCALHOST[flags.family], 9))
    return [subject]


# (how to make it, the state an iterator shows, mini)
TCP_CASES: list[tuple[Callable[[Flags], list[socket.socket]], int, bool]] = [
    (listening, LISTEN, False),
    (syn_sent, SYN_SENT, False),
    (half_open, HALF_OPEN, False),
    (established, ESTABLISHED, False),
    (unaccepted, ESTABLISHED, False),
    (fin_wait1, FIN_WAIT1, False),
    (fin_wait2, FIN_WAIT2, False),
    (mini_fin_wait2, FIN_WAIT2, True),
    (close_wait, CLOSE_WAIT, False),
    (last_ack, LAST_ACK, False),
    (closing, CLOSING, False),
    (time_wait, TIME_WAIT, True),
]
BOUND_CASES: list[Callable[[Flags], list[socket.socket]]] = [bound_only, shut_listener]
UDP_CASES: list[tuple[Callable[[Flags], list[socket.socket]], int]] = [
    (udp_bound, CLOSE),
    (udp_connected, ESTABLISHED),
]


def make_time_waits(port_counts: dict[int, int], reuseaddr: bool = True) -> None:
    """TIME_WAITs on the server's side: the server closes first. Clients on many addresses."""
    made = 0
    for port, count in port_counts.items():
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuseaddr)
            listener.bind(("127.0.0.1", port))
            listener.listen(16)
            for _ in range(count):
                client = socket.socket()
                client.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
                # An address each: a pair of ports seen before would revive its TIME_WAIT.
                client.bind((f"127.{1 + (made >> 16)}.{made >> 8 & 0xFF}.{made & 0xFF}", 0))
                client.connect(("127.0.0.1", port))
                server, _ = listener.accept()
                server.shutdown(socket.SHUT_WR)
                client.recv(1)  # else both ends could close at once, and each leave a TIME_WAIT
                client.close()
                server.close()
                made += 1
