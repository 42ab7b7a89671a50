"""One row of a dump -> Socket. A row is a struct inet_diag_msg with the attributes behind it."""

from __future__ import annotations

import socket
import struct
from typing import Final

from sockwatch.kernel.sock_diag.inet_diag import (
    AT_DROPS,
    ATTR_SHUTDOWN,
    ATTR_SKMEMINFO,
    ATTR_SKV6ONLY,
    ATTR_SOCKOPT,
    MESSAGE_SIZE,
    ROW,
    SOCKOPT_FREEBIND,
    SOCKOPT_TRANSPARENT,
    STATE_LISTEN,
    TIMER_MINI_SOCKET,
    address_text,
    attributes,
)
from sockwatch.model import TCP_STATES, UDP_STATES, Protocol, Socket

DROPS: Final = struct.Struct("<I")


def decode_row(protocol: Protocol, row: bytes, device: str | None) -> Socket:
    """The socket of a row, bound to `device`; what the row does not tell is left unknown."""
    (
        family, state, timer, _, sport, dport, source, destination,
        _, cookie, expires, queue, backlog, uid, inode,
    ) = ROW.unpack_from(row)  # fmt: skip
    mini = timer == TIMER_MINI_SOCKET
    address = address_text(family, source)
    connected = dport != 0
    v6only, freebind, drops = connection_v6only(family, address), None, None
    for kind, start, end in attributes(row, MESSAGE_SIZE, len(row)):
        if start == end:
            continue
        if kind == ATTR_SKV6ONLY and family == socket.AF_INET6:
            v6only = row[start] != 0
        elif kind == ATTR_SOCKOPT and not mini:
            freebind = row[start] & (SOCKOPT_FREEBIND | SOCKOPT_TRANSPARENT) != 0
        elif kind == ATTR_SKMEMINFO and state == STATE_LISTEN and start + AT_DROPS + 4 <= end:
            (drops,) = DROPS.unpack_from(row, start + AT_DROPS)
    return Socket(
        protocol=protocol,
        family="ipv4" if family == socket.AF_INET else "ipv6",
        state=state_name(protocol, state),
        address=address,
        port=socket.ntohs(sport),
        peer_address=address_text(family, destination) if connected else None,
        peer_port=socket.ntohs(dport) if connected else None,
        device=device,
        v6only=v6only,
        uid=None if mini else uid,
        inode=inode,
        cookie=cookie,
        mini=mini,
        queue=queue,
        backlog=backlog,
        frees_in_s=expires / 1000 if mini else None,
        freebind=freebind,
        drops=drops,
    )


def state_name(protocol: Protocol, state: int) -> str:
    """The name of a state in the model; STATE_n for one that is not known."""
    names = TCP_STATES if protocol == "tcp" else UDP_STATES
    return names.get(state, f"STATE_{state}")


def is_half_open(row: bytes) -> bool:
    """Whether a row in SYN_RECV is a request, which has no SHUTDOWN: that is of sockets alone."""
    return all(kind != ATTR_SHUTDOWN for kind, _, _ in attributes(row, MESSAGE_SIZE, len(row)))


def connection_v6only(family: int, address: str) -> bool | None:
    """v6only where sock_diag does not say: only a native IPv6 socket can have either value."""
    if family == socket.AF_INET or address.startswith("::ffff:"):
        return False
    return None
