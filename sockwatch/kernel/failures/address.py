"""What address a failed call was about, from the bytes that the kernel's record holds."""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple

from sockwatch.failure import Directory, UnixName
from sockwatch.kernel.failures.rows import (
    BIND,
    SEEN_ADDRESS,
    SEEN_DIRECTORIES,
    SEEN_SOCKET,
    FailureRow,
)
from sockwatch.text import NAME_LIMIT, clean

FAMILIES: Final = {
    int(socket.AF_INET): "ipv4",
    int(socket.AF_INET6): "ipv6",
    int(socket.AF_UNIX): "unix",
}
MPTCP: Final = 262
VMADDR_CID_ANY: Final = 0xFFFFFFFF
_SHORTEST_IN6: Final = 24  # SIN6_LEN_RFC2133: without the scope


class FailedAddress(NamedTuple):
    """`device_index` is the zone of a link-local address, 0 if it has none."""

    family: str | None = None
    address: str | None = None
    port: int | None = None
    device_index: int = 0
    unix: UnixName | None = None


def failed_address(row: FailureRow) -> FailedAddress:
    """What bind() was asked for; for listen(), what the socket is bound to."""
    of_socket = row.family if row.seen & SEEN_SOCKET else None
    if row.call == BIND:
        if row.seen & SEEN_ADDRESS:
            return _sockaddr(row, of_socket)
        return FailedAddress(family_name(of_socket))
    if of_socket == socket.AF_INET:
        return FailedAddress("ipv4", socket.inet_ntoa(row.packed_address[:4]), row.port)
    if of_socket == socket.AF_INET6:
        text = socket.inet_ntop(socket.AF_INET6, row.packed_address)
        return FailedAddress("ipv6", text, row.port)
    return FailedAddress(family_name(of_socket))


def protocol_name(family: int, kind: int, protocol: int) -> str:
    """``tcp`` (MPTCP too: it shares TCP's ports), ``udp``, ``unix`` or ``other``."""
    if family == socket.AF_UNIX:
        return "unix"
    if family not in (socket.AF_INET, socket.AF_INET6):
        return "other"
    if kind == socket.SOCK_STREAM and protocol in (socket.IPPROTO_TCP, MPTCP):
        return "tcp"
    return "udp" if (kind, protocol) == (socket.SOCK_DGRAM, socket.IPPROTO_UDP) else "other"


def family_name(family: int | None) -> str | None:
    """``ipv4``, ``ipv6``, ``unix``, else as the kernel calls it: ``netlink``, ``vsock``."""
    if family is None:
        return None
    if family in FAMILIES:
        return FAMILIES[family]
    try:
        return socket.AddressFamily(family).name.removeprefix("AF_").lower()
    except ValueError:
        return str(family)


def _sockaddr(row: FailureRow, of_socket: int | None) -> FailedAddress:
    data = row.sockaddr[: row.sockaddr_bytes]
    if len(data) < 2:
        return FailedAddress(family_name(of_socket))
    (family,) = struct.unpack_from("=H", data)
    if family == socket.AF_UNSPEC and of_socket == socket.AF_INET:
        family = int(socket.AF_INET)  # inet_bind() lets it pass for 0.0.0.0
    if family == socket.AF_INET and len(data) >= 8:
        port, packed = struct.unpack_from("!H4s", data, 2)
        return FailedAddress("ipv4", socket.inet_ntoa(packed), port)
    if family == socket.AF_INET6 and len(data) >= _SHORTEST_IN6:
        port, packed = struct.unpack_from("!H4x16s", data, 2)
        scope = int.from_bytes(data[24:28], "little") if len(data) >= 28 else 0
        scope = scope if _needs_scope(packed) else 0
        return FailedAddress("ipv6", socket.inet_ntop(socket.AF_INET6, packed), port, scope)
    if family == socket.AF_UNIX:
        return _unix(data[2:], row)
    return _of_other_families(family, data)


def _of_other_families(family: int, data: bytes) -> FailedAddress:
    """netlink(7): the port id; vsock(7): the context id and port; packet(7): the device."""
    name = family_name(family)
    if family == socket.AF_NETLINK and len(data) >= 8:
        return FailedAddress(name, str(*struct.unpack_from("=I", data, 4)))
    if family == socket.AF_VSOCK and len(data) >= 12:
        port, context = struct.unpack_from("=II", data, 4)
        return FailedAddress(name, f"{'*' if context == VMADDR_CID_ANY else context}:{port}")
    if family in (socket.AF_PACKET, socket.AF_CAN) and len(data) >= 8:
        return FailedAddress(name, device_index=struct.unpack_from("=I", data, 4)[0])
    return FailedAddress(name)


def _needs_scope(packed: bytes) -> bool:
    """Whether bind() looks at the scope: __ipv6_addr_needs_scope_id() of net/ipv6.h."""
    if packed[0] == 0xFF:
        return packed[1] & 0x0F in (1, 2)
    return packed[0] == 0xFE and packed[1] & 0xC0 == 0x80


def _unix(name: bytes, row: FailureRow) -> FailedAddress:
    """unix(7): a path ends at its first NUL; an abstract name starts with one and has them all."""
    if not name.startswith(b"\0"):
        name = name.partition(b"\0")[0]
    if not name:
        return FailedAddress("unix")
    unix = UnixName(name, row.type if row.seen & SEEN_SOCKET else None)
    if row.seen & SEEN_DIRECTORIES:
        unix = unix._replace(
            root=Directory(row.root_mount, row.root_inode),
            cwd=Directory(row.cwd_mount, row.cwd_inode),
        )
    return FailedAddress("unix", unix_text(name), unix=unix)


def unix_text(name: bytes) -> str:
    """A path, or an abstract name as ss writes it: with @ for its NULs."""
    if name.startswith(b"\0"):
        name = name.replace(b"\0", b"@")
    return clean(name, 2 * NAME_LIMIT)
