"""Destroy sockets that no process owns: SOCK_DESTROY of sock_diag(7), as `ss -K` does."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable
from typing import Final

from sockwatch.kernel.sock_diag.dumps import ask
from sockwatch.kernel.sock_diag.netlink import NETLINK_SOCK_DIAG, open_netlink
from sockwatch.kernel.sock_diag.row_decoder import RowDecoder
from sockwatch.model import KernelError, Socket

SOCK_DESTROY: Final = 21  # include/uapi/linux/sock_diag.h
NLM_F_REQUEST_ACK: Final = 0x5


def destroy(sockets: Iterable[Socket]) -> int:
    """Destroy these TCP sockets of this network namespace; returns how many still existed.

    Raises KernelError (EPERM: needs CAP_NET_ADMIN; EOPNOTSUPP: CONFIG_INET_DIAG_DESTROY).
    """
    destroyed = 0
    nothing_more = RowDecoder("tcp", lambda _: None)
    try:
        with open_netlink(NETLINK_SOCK_DIAG) as diag:
            for sock in sockets:
                number = ask(diag, SOCK_DESTROY, NLM_F_REQUEST_ACK, _body(sock), nothing_more)
                if number not in (0, errno.ENOENT):  # ENOENT: it has expired meanwhile
                    raise KernelError(f"ending a socket: {os.strerror(number)}", number)
                destroyed += number == 0
    except OSError as error:
        raise KernelError(f"ending a socket: {error.strerror}", error.errno or 0) from error
    return destroyed


def _body(sock: Socket) -> bytes:
    """A struct inet_diag_req_v2 of include/uapi/linux/inet_diag.h; the cookie says which."""
    family = socket.AF_INET if sock.family == "ipv4" else socket.AF_INET6
    source, destination = (
        socket.inet_pton(family, address).ljust(16, b"\0")
        for address in (sock.address, sock.peer_address or ("0.0.0.0", "::")[family != 2])  # noqa: S104 - none
    )
    device = socket.if_nametoindex(sock.device) if sock.device else 0
    return (
        struct.pack("=4BI", family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF)
        + struct.pack("!2H", sock.port, sock.peer_port or 0)
        + source
        + destination
        + struct.pack("=IQ", device, sock.cookie)
    )
