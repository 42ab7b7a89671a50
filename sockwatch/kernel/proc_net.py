"""The table by psutil, for sandboxes that refuse netlink: less is seen, and a gap says what."""

from __future__ import annotations

import socket
from collections import Counter
from typing import Any, Final

import psutil

from sockwatch.kernel.gaps import netlink_gap
from sockwatch.kernel.sock_diag.owners import OwnerTable
from sockwatch.kernel.sock_diag.row_decoder import connection_v6only
from sockwatch.model import Family, Gap, Holder, KernelError, Protocol, Socket, SocketGroup

# psutil's names -> ours, where they differ.
TCP_NAMES: Final = {"CLOSE": "BOUND"}
UDP_NAMES: Final = {"NONE": "UNCONN"}


def table(protocol: Protocol, port: int | None, refusal: KernelError) -> tuple[OwnerTable, Gap]:
    """What /proc/net shows of the protocol, and the gap that goes with it.

    Raises the refusal where that cannot be read either.
    """
    result = OwnerTable()
    groups: Counter[tuple[int, Family, str, str]] = Counter()
    connections: list[Socket] = []
    try:
        rows = psutil.net_connections(kind=protocol)
    except OSError as error:
        raise refusal from error
    for row in rows:
        if not row.laddr or (port is not None and row.laddr.port != port):
            continue
        sock = _socket(protocol, row)
        if sock.state == "SYN_RECV":
            result.half_open[sock.port] += 1
        elif sock.state in ("LISTEN", "BOUND", "UNCONN"):
            result.sockets[sock.port].append(sock)
        else:
            groups[sock.port, sock.family, sock.state, sock.address] += 1
            connections.append(sock)
    for (number, family, state, address), count in groups.items():
        result.groups[number].append(
            SocketGroup(
                family=family,
                state=state,
                mini=state == "TIME_WAIT",
                address=address,
                device=None,
                v6only=_v6only(family, address),
                uid=None,
                count=count,
                inodes=None,
                first_frees_in_s=None,
                last_frees_in_s=None,
            )
        )
    if port is not None:
        result.connections = connections
    return result, netlink_gap(protocol, refusal)


def _socket(protocol: Protocol, row: Any) -> Socket:
    state = str(row.status)
    state = TCP_NAMES.get(state, state) if protocol == "tcp" else UDP_NAMES.get(state, state)
    family: Family = "ipv4" if row.family == socket.AF_INET else "ipv6"
    if protocol == "udp" and row.raddr:
        state = "ESTABLISHED"
    holder = () if row.pid is None else (Holder(row.pid, row.fd, None),)
    return Socket(
        protocol=protocol,
        family=family,
        state=state,
        address=row.laddr.ip,
        port=row.laddr.port,
        peer_address=row.raddr.ip if row.raddr else None,
        peer_port=row.raddr.port if row.raddr else None,
        device=None,
        v6only=_v6only(family, row.laddr.ip),
        uid=None,
        inode=None,
        cookie=0,
        mini=state == "TIME_WAIT",
        queue=None,
        backlog=None,
        frees_in_s=None,
        holders=holder,
    )


def _v6only(family: Family, address: str) -> bool | None:
    return connection_v6only(socket.AF_INET if family == "ipv4" else socket.AF_INET6, address)
