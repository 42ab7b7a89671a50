"""sock_diag look-ups of single sockets, for those of ours that have no fd any more."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from sockwatch.model import Family

SOCK_DIAG_BY_FAMILY = 20
INET_DIAG_SHUTDOWN = 8
TIMER_TIME_WAIT = 3


class Ends(NamedTuple):
    """The two ends of a connection as (address, port) pairs."""

    local: tuple[str, int]
    remote: tuple[str, int]


class Row(NamedTuple):
    """What sock_diag says of one socket."""

    state: int
    mini: bool
    uid: int
    inode: int
    expires_ms: int
    cookie: bytes


class Diag:
    """Exact look-ups of one TCP socket by its two ends: no dump, so they cost microseconds."""

    def __init__(self) -> None:
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)

    def find(self, family: Family, ends: Ends, cookie: bytes | None = None) -> Row | None:
        number = socket.AF_INET if family == "ipv4" else socket.AF_INET6
        (source, sport), (target, dport) = ends
        request = struct.pack("=BBBxI", number, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
        request += struct.pack(">HH", sport, dport)
        request += b"".join(socket.inet_pton(number, a).ljust(16, b"\0") for a in (source, target))
        request += struct.pack("=I", 0) + (cookie or b"\xff" * 8)
        head = struct.pack("=IHHII", 16 + len(request), SOCK_DIAG_BY_FAMILY, 1, 1, 0)
        self._netlink.send(head + request)
        answer = self._netlink.recv(8192)
        if struct.unpack_from("=H", answer, 4)[0] != SOCK_DIAG_BY_FAMILY:
            return None
        return self._row(answer[16:], dport)

    @staticmethod
    def _row(message: bytes, dport: int) -> Row | None:
        if struct.unpack_from(">H", message, 6)[0] != dport:
            return None  # the look-up fell back to a listener
        expires, _, _, uid, inode = struct.unpack_from("=IIIII", message, 52)
        full, offset = False, 72
        while offset < len(message):
            length, kind = struct.unpack_from("=HH", message, offset)
            full = full or kind == INET_DIAG_SHUTDOWN
            offset += (length + 3) & ~3
        mini = message[2] == TIMER_TIME_WAIT and not full
        return Row(message[1], mini, uid, inode, expires, message[44:52])
