"""End sockets that belong to no process any more: SOCK_DESTROY of sock_diag(7), as `ss -K` does."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable
from typing import Final

from pyroute2.netlink import nlmsg
from pyroute2.netlink.diag import DiagSocket
from pyroute2.netlink.exceptions import NetlinkError

from sockwatch.kernel.event_loop import outside_event_loop
from sockwatch.model import KernelError, Socket

SOCK_DESTROY: Final = 21  # include/uapi/linux/sock_diag.h
NLM_F_REQUEST_ACK: Final = 0x5


class _Request(nlmsg):  # type: ignore[misc] # pyroute2 ships no types
    fields = (("body", "s"),)


def destroy(sockets: Iterable[Socket]) -> int:
    """End these TCP sockets of this network namespace; how many were still there.

    Raises KernelError (EPERM: needs CAP_NET_ADMIN; EOPNOTSUPP: CONFIG_INET_DIAG_DESTROY).
    """
    bodies = [_body(sock) for sock in sockets]
    return outside_event_loop(lambda: _run(bodies))


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


def _run(bodies: list[bytes]) -> int:
    ended = 0
    with DiagSocket() as diag:
        for body in bodies:
            request = _Request()
            request["body"] = body
            try:
                for _ in diag.nlm_request(request, SOCK_DESTROY, NLM_F_REQUEST_ACK):
                    pass
                ended += 1
            except NetlinkError as error:
                if error.code != errno.ENOENT:  # gone by itself in between
                    raise KernelError(
                        f"ending a socket: {os.strerror(error.code)}", error.code
                    ) from error
    return ended
