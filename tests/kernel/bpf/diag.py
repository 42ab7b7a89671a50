"""What sock_diag says of mini sockets: the other witness. sock_diag(7)."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _DUMP_REQUEST = 4, 20, 0x301
_DONE, _ERROR = 3, 2


class DiagRow(NamedTuple):
    family: int
    state: int
    timer: int
    port: int
    peer_port: int
    cookie: int
    expires_ms: int
    uid: int
    inode: int


def dump(family: int = socket.AF_INET, states: int = 0xFFFFFFFF) -> list[DiagRow]:
    request = struct.pack("=BBxxI48x", family, socket.IPPROTO_TCP, states)
    header = struct.pack("=IHHII", 16 + len(request), _SOCK_DIAG_BY_FAMILY, _DUMP_REQUEST, 1, 0)
    rows: list[DiagRow] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        netlink.send(header + request)
        while True:
            data = netlink.recv(1 << 16)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == _DONE:
                    return rows
                assert kind != _ERROR, data
                rows.append(_row(data[16:length]))
                data = data[(length + 3) & ~3 :]


def _row(message: bytes) -> DiagRow:
    family, state, timer = struct.unpack_from("=BBB", message)
    port, peer_port = struct.unpack_from(">HH", message, 4)
    (cookie,) = struct.unpack_from("=Q", message, 44)
    expires, _, _, uid, inode = struct.unpack_from("=IIIII", message, 52)
    return DiagRow(family, state, timer, port, peer_port, cookie, expires, uid, inode)
