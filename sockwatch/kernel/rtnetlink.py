"""Dumps of interfaces, addresses and routes, by rtnetlink(7)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from sockwatch.kernel.sock_diag.inet_diag import ATTRIBUTE, attributes
from sockwatch.kernel.sock_diag.netlink import dump
from sockwatch.model import KernelError
from sockwatch.text import NAME_LIMIT, clean

RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE = 18, 22, 26
RTN_LOCAL, RTN_BROADCAST = 2, 3
RTNH_F_DEAD: Final = 1  # the kernel's lookup skips the route
RTA_DST, RTA_OIF, RTA_TABLE = 1, 4, 15
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_OPTIMISTIC, IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x04, 0x08, 0x40
IFF_UP: Final = 1
IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_OPERSTATE = 3, 4, 10, 16
IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_VRF_TABLE = 18, 1, 2, 1
IFLA_AF_SPEC, IFLA_INET6_CONF, IFLA_EXT_MASK = 26, 2, 29
RTEXT_FILTER_SKIP_STATS: Final = 8
DEVCONF_DISABLE_IPV6: Final = 26  # include/uapi/linux/ipv6.h
OPERATIONAL: Final = (0, 6)  # IF_OPER_UNKNOWN, IF_OPER_UP: netif_oper_up()
NESTED: Final = 0x7FFF  # without NLA_F_NESTED

# struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
ROUTE: Final = struct.Struct("<8BI")
# struct ifaddrmsg: family, prefixlen, flags, scope, index
ADDRESS: Final = struct.Struct("<4BI")
# struct ifinfomsg: family, type, index, flags, change
LINK: Final = struct.Struct("<BxHiII")


class RouteRow(NamedTuple):
    """A route; `device` is an interface's index, 0 for none. `is_met`: bind()'s lookup meets it."""

    network: str
    length: int
    table: int
    kind: int
    device: int
    is_met: bool


class AddressRow(NamedTuple):
    """An IPv6 address of the interface with that index."""

    address: str
    device: int
    tentative: bool
    dad_failed: bool


class LinkRow(NamedTuple):
    """An interface; `number` is its index, `master` that of what it is enslaved to, 0 for none."""

    number: int
    name: str
    is_up: bool
    is_ready: bool
    mtu: int
    master: int
    disable_ipv6: bool
    vrf_table: int | None


def dump_routes(sock: socket.socket, family: int, table: int, kind: int = 0) -> Iterator[RouteRow]:
    """The routes of a table in the kernel's order; `kind` 0 is all types.

    Raises FileNotFoundError if there is no such table, OSError, KernelError.
    """
    wide = ATTRIBUTE.pack(8, RTA_TABLE) + struct.pack("<I", table)
    body = ROUTE.pack(family, 0, 0, 0, table if table < 256 else 0, 0, 0, kind, 0) + wide
    for message in dump(sock, RTM_GETROUTE, body, ROUTE.size):
        if message[0] != family:
            continue  # a kernel without IPv6 answers with IPv4
        row = parse_route(message)
        # Kernels before 4.20 do not filter.
        if row.table == table and kind in (0, row.kind):
            yield row


def dump_addresses(sock: socket.socket) -> Iterator[AddressRow]:
    """Every IPv6 address. Raises OSError, KernelError."""
    body = ADDRESS.pack(socket.AF_INET6, 0, 0, 0, 0)
    for message in dump(sock, RTM_GETADDR, body, ADDRESS.size):
        row = parse_address(message)
        if row is not None and message[0] == socket.AF_INET6:
            yield row


def dump_links(sock: socket.socket) -> Iterator[LinkRow]:
    """Every interface. Raises OSError, KernelError."""
    mask = ATTRIBUTE.pack(8, IFLA_EXT_MASK) + struct.pack("<I", RTEXT_FILTER_SKIP_STATS)
    for message in dump(sock, RTM_GETLINK, LINK.pack(0, 0, 0, 0, 0) + mask, LINK.size):
        yield parse_link(message)


def parse_route(message: bytes) -> RouteRow:
    """Raises KernelError if the message is damaged."""
    family, length, _, tos, table, _, _, kind, flags = ROUTE.unpack_from(message)
    values = _values(message, ROUTE.size)
    any_address = bytes(4 if family == socket.AF_INET else 16)
    if length > 8 * len(any_address):
        raise KernelError("rtnetlink sent a malformed route", 0)
    return RouteRow(
        f"{_text(family, values.get(RTA_DST, any_address))}/{length}",
        length,
        _number(values.get(RTA_TABLE)) or table,
        kind,
        _number(values.get(RTA_OIF)),
        is_met=not tos and not flags & RTNH_F_DEAD,  # fib_table_lookup()
    )


def parse_address(message: bytes) -> AddressRow | None:
    """None for a message without an address. Raises KernelError if damaged."""
    family, _, flags, _, index = ADDRESS.unpack_from(message)
    values = _values(message, ADDRESS.size)
    flags = _number(values.get(IFA_FLAGS)) or flags
    raw = values.get(IFA_LOCAL) or values.get(IFA_ADDRESS)  # IFA_ADDRESS may be the peer's
    if raw is None:
        return None
    return AddressRow(
        _text(family, raw),
        index,
        # ipv6_chk_addr_and_flags(): an optimistic address does not count as tentative.
        tentative=bool(flags & IFA_F_TENTATIVE) and not flags & IFA_F_OPTIMISTIC,
        dad_failed=bool(flags & IFA_F_DADFAILED),
    )


def parse_link(message: bytes) -> LinkRow:
    """What is missing in the message is as for an ordinary interface."""
    _, _, index, flags, _ = LINK.unpack_from(message)
    values = _values(message, LINK.size)
    info = _nested(values, IFLA_LINKINFO)
    is_vrf = info.get(IFLA_INFO_KIND, b"").rstrip(b"\0") == b"vrf"
    ipv6 = _nested(_nested(values, IFLA_AF_SPEC), socket.AF_INET6)
    conf = ipv6.get(IFLA_INET6_CONF, b"")
    disabled = conf[4 * DEVCONF_DISABLE_IPV6 : 4 * DEVCONF_DISABLE_IPV6 + 4]
    is_up = bool(flags & IFF_UP)
    return LinkRow(
        index,
        clean(values.get(IFLA_IFNAME, b"").rstrip(b"\0"), NAME_LIMIT),
        is_up,
        is_up and _number(values.get(IFLA_OPERSTATE)) in OPERATIONAL,
        _number(values.get(IFLA_MTU)),
        _number(values.get(IFLA_MASTER)),
        any(disabled),
        _number(_nested(info, IFLA_INFO_DATA).get(IFLA_VRF_TABLE)) if is_vrf else None,
    )


def _values(message: bytes, start: int) -> dict[int, bytes]:
    return {
        kind & NESTED: message[at:end] for kind, at, end in attributes(message, start, len(message))
    }


def _nested(values: dict[int, bytes], kind: int) -> dict[int, bytes]:
    return _values(values.get(kind, b""), 0)


def _number(raw: bytes | None) -> int:
    return int.from_bytes(raw or b"", "little")


def _text(family: int, raw: bytes) -> str:
    try:
        return socket.inet_ntop(family, raw)
    except (OSError, ValueError) as error:
        raise KernelError("rtnetlink sent a malformed address", 0) from error
