"""Every address and network that bind() takes for local, by rtnetlink(7)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Final

from sockwatch.kernel.sock_diag.inet_diag import attributes
from sockwatch.kernel.sock_diag.netlink import dump, open_netlink
from sockwatch.model import KernelError, OwnAddress
from sockwatch.text import NAME_LIMIT, clean

RTM_GETADDR, RTM_GETROUTE = 22, 26
LOCAL_TABLE: Final = 255  # RT_TABLE_LOCAL: what the kernel itself asks whether an address is local
RTN_LOCAL, RTN_BROADCAST = 2, 3
RTA_DST, RTA_OIF = 1, 4
IFA_ADDRESS, IFA_FLAGS = 1, 8
IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x08, 0x40

# struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
ROUTE: Final = struct.Struct("<8BI")
# struct ifaddrmsg: family, prefixlen, flags, scope, index
ADDRESS: Final = struct.Struct("<4BI")


def own_addresses() -> Iterator[OwnAddress]:
    """Those of this thread's network namespace. Raises OSError, KernelError."""
    with open_netlink(socket.NETLINK_ROUTE, strict_check=True) as sock:
        for family in (socket.AF_INET, socket.AF_INET6):
            body = ROUTE.pack(family, 0, 0, 0, LOCAL_TABLE, 0, 0, 0, 0)
            for message in _messages(sock, RTM_GETROUTE, body, ROUTE.size):
                yield from _route(message)
        # An address under duplicate detection has no route yet.
        body = ADDRESS.pack(socket.AF_INET6, 0, 0, 0, 0)
        for message in _messages(sock, RTM_GETADDR, body, ADDRESS.size):
            yield from _tentative(message)


def _route(message: bytes) -> Iterator[OwnAddress]:
    family, length, *_, kind, _ = ROUTE.unpack_from(message)
    values = _values(message, ROUTE.size)
    if RTA_DST in values and kind in (RTN_LOCAL, RTN_BROADCAST):
        index = int.from_bytes(values[RTA_OIF], "little") if RTA_OIF in values else None
        yield OwnAddress(f"{_text(family, values[RTA_DST])}/{length}", _device(index))


def _tentative(message: bytes) -> Iterator[OwnAddress]:
    family, _, flags, _, index = ADDRESS.unpack_from(message)
    values = _values(message, ADDRESS.size)
    flags = int.from_bytes(values.get(IFA_FLAGS, b""), "little") or flags
    if IFA_ADDRESS in values and flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED):
        address = _text(family, values[IFA_ADDRESS])
        yield OwnAddress(f"{address}/128", _device(index), tentative=True)


def _messages(sock: socket.socket, kind: int, body: bytes, size: int) -> Iterator[bytes]:
    try:
        yield from dump(sock, kind, body, size)
    except FileNotFoundError:
        return  # there is no table, so no address


def _values(message: bytes, start: int) -> dict[int, bytes]:
    return {kind: message[at:end] for kind, at, end in attributes(message, start, len(message))}


def _text(family: int, raw: bytes) -> str:
    try:
        return socket.inet_ntop(family, raw)
    except (OSError, ValueError) as error:
        raise KernelError("rtnetlink sent a malformed address", 0) from error


def _device(index: int | None) -> str | None:
    try:
        return None if index is None else clean(socket.if_indextoname(index), NAME_LIMIT)
    except OSError:
        return None
