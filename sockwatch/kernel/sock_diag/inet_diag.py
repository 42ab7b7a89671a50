"""The wire format of sock_diag: requests and rows (include/uapi/linux/inet_diag.h)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from sockwatch.kernel.sock_diag.netlink import HEADER_SIZE
from sockwatch.model import Family

MESSAGE_SIZE: Final = 72  # struct inet_diag_msg
ROW_SIZE: Final = HEADER_SIZE + MESSAGE_SIZE

TCPDIAG_GETSOCK: Final = 18  # TCP of both families in one dump
SOCK_DIAG_BY_FAMILY: Final = 20

# Every state of include/net/tcp_states.h, and 13, BOUND_INACTIVE, which kernels before 6.8 ignore.
ALL_STATES: Final = sum(1 << state for state in (*range(1, 12), 13))
STATE_SYN_RECV: Final = 3
STATE_TIME_WAIT: Final = 6
STATE_CLOSE: Final = 7
STATE_LISTEN: Final = 10
STATE_BOUND_INACTIVE: Final = 13
# inet_twsk_diag_fill() sets it, and for mini sockets only.
TIMER_MINI_SOCKET: Final = 3

ATTR_BYTECODE: Final = 1
ATTR_SHUTDOWN: Final = 8
ATTR_SKV6ONLY: Final = 11

# Offsets within a netlink message, for reading columns of many rows at once.
AT_FAMILY: Final = 16
AT_STATE: Final = 17
AT_TIMER: Final = 18
AT_SPORT: Final = 20
AT_SADDR: Final = 24
AT_DEVICE: Final = 56
AT_COOKIE: Final = 60
AT_EXPIRES: Final = 68

# family state timer retrans sport dport saddr daddr device cookie expires rqueue wqueue uid inode
ROW: Final = struct.Struct("<4B2H16s16sIQ5I")
ATTRIBUTE: Final = struct.Struct("<HH")

# struct inet_diag_bc_op: code, then the jump for yes and for no in bytes. A port comparison is
# followed by a second op whose `no` is the port. A jump to 4 past the end rejects the row.
BC_S_GE: Final = 2
BC_S_LE: Final = 3


def port_filter(port: int) -> bytes:
    """Bytecode that lets pass the sockets on a local port (net/ipv4/inet_diag.c, inet_diag_bc_run).

    Two comparisons instead of the newer S_EQ, so that every kernel takes it.
    """
    operation = struct.Struct("<BBH").pack
    at_least = operation(BC_S_GE, 8, 16 + 4) + operation(0, 0, port)
    at_most = operation(BC_S_LE, 8, 8 + 4) + operation(0, 0, port)
    return at_least + at_most


def tcp_request(states: int = ALL_STATES, port: int | None = None) -> bytes:
    """Body of a TCPDIAG_GETSOCK dump: struct inet_diag_req, then the filter."""
    head = struct.pack("<4B48x2I", 0, 0, 0, 0, states, 0)
    return head + _bytecode(port)


def udp_request(family: Family, port: int | None = None) -> bytes:
    """Body of a SOCK_DIAG_BY_FAMILY dump: struct inet_diag_req_v2, then the filter."""
    number = socket.AF_INET if family == "ipv4" else socket.AF_INET6
    return struct.pack("<4BI48x", number, socket.IPPROTO_UDP, 0, 0, ALL_STATES) + _bytecode(port)


def _bytecode(port: int | None) -> bytes:
    if port is None:
        return b""
    code = port_filter(port)
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(code), ATTR_BYTECODE) + code


def attributes(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(type, start, end) of each attribute's payload in ``data[start:end]``."""
    while start + ATTRIBUTE.size <= end:
        length, kind = ATTRIBUTE.unpack_from(data, start)
        if length < ATTRIBUTE.size or start + length > end:
            return
        yield kind, start + ATTRIBUTE.size, start + length
        start += (length + 3) & ~3


@lru_cache(maxsize=4096)
def address_text(family: int, raw: bytes) -> str:
    """An idiag_src or idiag_dst as text."""
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[:4])
    return socket.inet_ntop(socket.AF_INET6, raw)
