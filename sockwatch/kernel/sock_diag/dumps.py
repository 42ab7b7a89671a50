"""Dumps of the kernel's socket tables: each buffer to a RowDecoder, every errno a KernelError."""

from __future__ import annotations

import os
import socket

from sockwatch.kernel.sock_diag import inet_diag
from sockwatch.kernel.sock_diag.inet_diag import ALL_STATES
from sockwatch.kernel.sock_diag.netlink import (
    NETLINK_SOCK_DIAG,
    NLM_F_REQUEST_DUMP,
    exchange,
    open_netlink,
)
from sockwatch.kernel.sock_diag.row_decoder import RowDecoder
from sockwatch.model import Family, KernelError


def dump(decoder: RowDecoder, states: int = ALL_STATES, port: int | None = None) -> None:
    """Feed the decoder with the sockets of its protocol in `states`, on every port or on `port`.

    Raises KernelError if the kernel refuses the table or the answer is incomplete.
    """
    if decoder.protocol == "tcp":
        requests = [(inet_diag.TCPDIAG_GETSOCK, inet_diag.tcp_request(states, port))]
    else:
        families: tuple[Family, ...] = ("ipv4", "ipv6")
        requests = [
            (inet_diag.SOCK_DIAG_BY_FAMILY, inet_diag.udp_request(family, port))
            for family in families
        ]
    try:
        with open_netlink(NETLINK_SOCK_DIAG) as diag:
            for kind, body in requests:
                if number := ask(diag, kind, NLM_F_REQUEST_DUMP, body, decoder):
                    raise _refused(number)
    except OSError as error:
        raise _refused(error.errno) from error


def ask(diag: socket.socket, kind: int, flags: int, body: bytes, decoder: RowDecoder) -> int:
    """Send one request and feed the decoder with the answer; returns its errno, 0 for none.

    Raises KernelError if the answer is damaged or incomplete, OSError if receiving fails.
    """
    for data in exchange(diag, kind, flags, body):
        number = decoder.feed(data)
        if number is not None:
            return number
    raise AssertionError("exchange() ends with an error")


def _refused(errno: int | None) -> KernelError:
    return KernelError(f"sock_diag: {os.strerror(errno or 0)}", errno or 0)
