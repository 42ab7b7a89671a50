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
STATE_FIN_WAIT2: Final = 5
STATE_TIME_WAIT: Final = 6
STATE_CLOSE: Final = 7
STATE_LISTEN: Final = 10
STATE_BOUND_INACTIVE: Final = 13
STATES_WITH_FIN: Final = frozenset({8, 9, 11})  # the peer's has come: CLOSE_WAIT, LAST_ACK, CLOSING
# inet_twsk_diag_fill() sets it, and for mini sockets only.
TIMER_MINI_SOCKET: Final = 3

ATTR_BYTECODE: Final = 1
ATTR_SKMEMINFO: Final = 7  # SK_MEMINFO_VARS numbers of include/uapi/linux/sock_diag.h
WITH_SKMEMINFO: Final = 1 << ATTR_SKMEMINFO - 1  # in idiag_ext
AT_DROPS: Final = 8 * 4  # SK_MEMINFO_DROPS
ATTR_SHUTDOWN: Final = 8
ATTR_SKV6ONLY: Final = 11
ATTR_SOCKOPT: Final = 22  # since 5.10; struct inet_diag_sockopt
SOCKOPT_FREEBIND, SOCKOPT_TRANSPARENT = 0x04, 0x20  # in its first byte

# Offsets within a netlink message, for reading columns of many rows at once.
AT_FAMILY: Final = 16
AT_STATE: Final = 17
AT_TIMER: Final = 18
AT_SPORT: Final = 20
AT_SADDR: Final = 24
AT_PEER: Final = 40
AT_DEVICE: Final = 56
AT_COOKIE: Final = 60
AT_EXPIRES: Final = 68
AT_UID: Final = 80
AT_INODE: Final = 84

# family state timer retrans sport dport saddr daddr device cookie expires rqueue wqueue uid inode
ROW: Final = struct.Struct("<4B2H16s16sIQ5I")
DEVICE: Final = struct.Struct("<I")
ATTRIBUTE: Final = struct.Struct("<HH")

# struct inet_diag_bc_op: code, then the jump for yes and for no in bytes. A port comparison is
# followed by a second op whose `no` is the port. A jump to 4 past the end rejects the row.
BC_S_GE: Final = 2
BC_S_LE: Final = 3
BC_D_GE: Final = 4
BC_D_LE: Final = 5
BC_AUTO: Final = 6


def port_filter(port: int, *, automatic: bool = False, remote: bool = False) -> bytes:
    """Bytecode that lets pass the sockets on a local port (net/ipv4/inet_diag.c, inet_diag_bc_run).

    With `remote` those whose peer is on that port. With `automatic` only those whose port the
    kernel chose, and every mini socket. Two comparisons instead of the newer S_EQ, so that every
    kernel takes it.
    """
    operation = struct.Struct("<BBH").pack
    chosen = operation(BC_AUTO, 4, 4 + 4) if automatic else b""
    greater, less = (BC_D_GE, BC_D_LE) if remote else (BC_S_GE, BC_S_LE)
    at_least = operation(greater, 8, 16 + len(chosen) + 4) + operation(0, 0, port)
    at_most = operation(less, 8, 8 + len(chosen) + 4) + operation(0, 0, port)
    return at_least + at_most + chosen


def tcp_request(
    states: int = ALL_STATES,
    port: int | None = None,
    *,
    automatic: bool = False,
    remote: bool = False,
) -> bytes:
    """Body of a TCPDIAG_GETSOCK dump: struct inet_diag_req, then the filter.

    In a dump of listeners alone the kernel adds what each has dropped: 40 bytes a row.
    """
    extensions = WITH_SKMEMINFO if states == 1 << STATE_LISTEN else 0
    head = struct.pack("<4B48x2I", 0, 0, 0, extensions, states, 0)
    return head + _bytecode(port, automatic, remote=remote)


def udp_request(family: Family, port: int | None = None, *, automatic: bool = False) -> bytes:
    """Body of a SOCK_DIAG_BY_FAMILY dump: struct inet_diag_req_v2, then the filter."""
    number = socket.AF_INET if family == "ipv4" else socket.AF_INET6
    head = struct.pack("<4BI48x", number, socket.IPPROTO_UDP, 0, 0, ALL_STATES)
    return head + _bytecode(port, automatic)


def _bytecode(port: int | None, automatic: bool, *, remote: bool = False) -> bytes:
    if port is None:
        return b""
    code = port_filter(port, automatic=automatic, remote=remote)
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
