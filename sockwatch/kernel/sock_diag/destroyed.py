"""Sockets as the kernel destroys them: the multicast groups of sock_diag(7), which `ss -E` uses.

An ordinary user may join too. There is an event for each TCP and UDP socket that goes, with or
without a connection, when its port has been given back. There is none when a TIME_WAIT ends.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection
from typing import Final, NamedTuple

from sockwatch.kernel.sock_diag.inet_diag import (
    AT_COOKIE,
    AT_SPORT,
    ROW_SIZE,
    SOCK_DIAG_BY_FAMILY,
)
from sockwatch.kernel.sock_diag.netlink import (
    HEADER,
    NETLINK_SOCK_DIAG,
    open_groups,
    waiting_messages,
)

# SKNLGRP_INET_TCP_DESTROY, INET_UDP, INET6_TCP, INET6_UDP of include/uapi/linux/sock_diag.h
GROUPS: Final = (1, 2, 3, 4)
# struct sock_filter of include/uapi/linux/filter.h: code, jumps for yes and for no, k
_FILTER: Final = struct.Struct("=HBBI")
_LOAD_HALF, _JUMP_IF_EQUAL, _RETURN = 0x28, 0x15, 0x06
_WHOLE: Final = 0xFFFFFFFF
_COOKIE: Final = struct.Struct("<Q")


class Destroyed(NamedTuple):
    """The cookies of sockets that are gone. `lost`: there were more, which were not read."""

    cookies: frozenset[int]
    lost: bool


class DestroyEvents:
    """Tells which sockets with one of these local ports are destroyed, from now on; close() it.

    The kernel filters, so that a busy host does not wake us. With `everywhere` as open_groups().
    """

    def __init__(self, ports: Collection[int], *, everywhere: bool = False) -> None:
        """At most 255 ports. Raises OSError where netlink or the groups are refused."""
        self._socket: socket.socket = open_groups(
            NETLINK_SOCK_DIAG, GROUPS, everywhere=everywhere, accept=port_program(ports)
        )

    def fileno(self) -> int:
        """The fd, readable when read() has something."""
        return self._socket.fileno()

    def read(self) -> Destroyed:
        """What has been destroyed since the last call; does not wait."""
        messages, lost = waiting_messages(self._socket)
        cookies = frozenset(
            _COOKIE.unpack_from(message, AT_COOKIE)[0]
            for message in messages
            if len(message) >= ROW_SIZE and HEADER.unpack_from(message)[1] == SOCK_DIAG_BY_FAMILY
        )
        return Destroyed(cookies, lost)

    def close(self) -> None:
        """Leave the groups."""
        self._socket.close()


def port_program(ports: Collection[int]) -> bytes:
    """Classic BPF that keeps the messages on a socket with one of these local ports."""
    load = _FILTER.pack(_LOAD_HALF, 0, 0, AT_SPORT)  # as a number: the port is in network order
    last = len(ports) - 1
    tests = (
        _FILTER.pack(_JUMP_IF_EQUAL, last - index + 1, 0, port)
        for index, port in enumerate(sorted(ports))
    )
    reject, keep = (_FILTER.pack(_RETURN, 0, 0, size) for size in (0, _WHOLE))
    return load + b"".join(tests) + reject + keep
