"""sock_diag read without the product: the other witness. sock_diag(7), linux/inet_diag.h."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from sockwatch.model import Family

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
INET_DIAG_SHUTDOWN = 8
TIMER_TIME_WAIT = 3
ROW_SIZE = 72
ALL_STATES = 0xFFFFFFFF
NO_COOKIE = b"\xff" * 8


class Ends(NamedTuple):
    """The two ends of a connection as (address, port) pairs."""

    local: tuple[str, int]
    remote: tuple[str, int]


class Row(NamedTuple):
    """What sock_diag says of one TCP socket; `timer` and `state` are the kernel's numbers."""

    state: int
    mini: bool
    uid: int
    inode: int
    expires_ms: int
    cookie: bytes
    family: int = 0
    timer: int = 0
    port: int = 0
    peer_port: int = 0


class Diag:
    """Exact look-ups of one TCP socket by its two ends: no dump, so they cost microseconds."""

    def __init__(self) -> None:
        self._netlink = _open()

    def close(self) -> None:
        self._netlink.close()

    def find(self, family: Family, ends: Ends, cookie: bytes | None = None) -> Row | None:
        """The socket between the ends; None if the kernel has none, or another one by now."""
        number = socket.AF_INET if family == "ipv4" else socket.AF_INET6
        (source, sport), (target, dport) = ends
        request = struct.pack("=BBBxI", number, socket.IPPROTO_TCP, 0, ALL_STATES)
        request += struct.pack(">HH", sport, dport)
        request += b"".join(socket.inet_pton(number, a).ljust(16, b"\0") for a in (source, target))
        request += struct.pack("=I", 0) + (cookie or NO_COOKIE)
        self._netlink.send(_message(request, 0))
        answer = self._netlink.recv(8192)
        if struct.unpack_from("=H", answer, 4)[0] != SOCK_DIAG_BY_FAMILY:
            return None
        row = _row(answer[16:])
        return row if row.peer_port == dport else None  # or the look-up fell back to a listener


def dump(family: int = socket.AF_INET, states: int = ALL_STATES) -> list[Row]:
    """All TCP sockets of the family in these states (a bit for each)."""
    request = struct.pack("=BBxxI48x", family, socket.IPPROTO_TCP, states)
    with _open() as netlink:
        netlink.send(_message(request, NLM_F_DUMP))
        return [_row(message) for message in _until_done(netlink)]


def _open() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)


def _message(request: bytes, flags: int) -> bytes:
    header = (16 + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | flags, 1, 0)
    return struct.pack("=IHHII", *header) + request


def _until_done(netlink: socket.socket) -> Iterator[bytes]:
    while True:
        data = netlink.recv(1 << 16)
        while data:
            length, kind = struct.unpack_from("=IH", data)
            if kind == NLMSG_DONE:
                return
            assert kind != NLMSG_ERROR, data
            yield data[16:length]
            data = data[(length + 3) & ~3 :]


def _row(message: bytes) -> Row:
    family, state, timer = struct.unpack_from("=BBB", message)
    port, peer_port = struct.unpack_from(">HH", message, 4)
    expires_ms, _, _, uid, inode = struct.unpack_from("=IIIII", message, 52)
    # A full socket in TIME_WAIT's guise, an orphan in FIN_WAIT2, has INET_DIAG_SHUTDOWN.
    mini = timer == TIMER_TIME_WAIT and INET_DIAG_SHUTDOWN not in _attributes(message)
    cookie = message[44:52]
    return Row(state, mini, uid, inode, expires_ms, cookie, family, timer, port, peer_port)


def _attributes(message: bytes) -> set[int]:
    kinds = set()
    offset = ROW_SIZE
    while offset < len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        kinds.add(kind)
        offset += (length + 3) & ~3
    return kinds
