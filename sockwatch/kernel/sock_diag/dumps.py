"""Dumps of the kernel's socket tables: each buffer to a RowDecoder, every errno a KernelError."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from sockwatch.kernel.sock_diag import inet_diag
from sockwatch.kernel.sock_diag.inet_diag import ALL_STATES
from sockwatch.kernel.sock_diag.netlink import (
    NETLINK_SOCK_DIAG,
    NLM_F_REQUEST_DUMP,
    exchange,
    open_netlink,
)
from sockwatch.kernel.sock_diag.row_decoder import RowDecoder
from sockwatch.model import Family, KernelError, Socket


def dump(
    decoder: RowDecoder,
    states: int = ALL_STATES,
    port: int | None = None,
    diag: socket.socket | None = None,
) -> None:
    """Feed the decoder with the sockets of its protocol in `states`, on every port or on `port`.

    Of one port it also learns which sockets did not choose it themselves. `diag` is the socket to
    ask by; None opens one. Raises KernelError if the kernel refuses the table or the answer is
    incomplete.
    """
    walk(decoder, states, port, diag=diag)
    if port is not None and (found := decoder.cookies() - decoder.automatic.keys()):
        chosen = RowDecoder(decoder.protocol, decoder.device_name, count_minis=False)
        walk(chosen, states & ~(1 << inet_diag.STATE_TIME_WAIT), port, automatic=True)
        decoder.automatic |= dict.fromkeys(found, False) | dict.fromkeys(chosen.cookies(), True)


def walk(
    decoder: RowDecoder,
    states: int,
    port: int | None,
    *,
    automatic: bool = False,
    diag: socket.socket | None = None,
) -> None:
    """Feed the decoder once; `automatic`: with sockets whose port the kernel chose. As dump()."""
    if decoder.protocol == "tcp":
        body = inet_diag.tcp_request(states, port, automatic=automatic)
        requests = [(inet_diag.TCPDIAG_GETSOCK, body)]
    else:
        families: tuple[Family, ...] = ("ipv4", "ipv6")
        requests = [
            (
                inet_diag.SOCK_DIAG_BY_FAMILY,
                inet_diag.udp_request(family, port, automatic=automatic),
            )
            for family in families
        ]
    _exchange(decoder, requests, diag)


@contextmanager
def opened() -> Iterator[socket.socket | None]:
    """A socket for several dumps, with the port id that the first one of a process gets.

    Its answers are the same, byte by byte, while the sockets are. None where netlink is refused.
    """
    try:
        diag = open_netlink(NETLINK_SOCK_DIAG)
    except OSError:
        yield None
        return
    with diag:
        if not diag.getsockname()[0]:
            diag.bind((0, 0))
        yield diag


def _exchange(
    decoder: RowDecoder, requests: list[tuple[int, bytes]], diag: socket.socket | None = None
) -> None:
    try:
        with nullcontext(diag) if diag is not None else open_netlink(NETLINK_SOCK_DIAG) as sock:
            for kind, body in requests:
                if number := ask(sock, kind, NLM_F_REQUEST_DUMP, body, decoder):
                    raise _refused(number)
    except OSError as error:
        raise _refused(error.errno) from error


def far_ends(port: int) -> Sequence[Socket]:
    """The TCP sockets of this network namespace that are connected to `port`, here or elsewhere.

    Without TIME_WAITs, and without holders. Raises as dump().
    """
    decoder = RowDecoder("tcp", lambda _: None, keep_rows=True, count_minis=False)
    states = ALL_STATES & ~(1 << inet_diag.STATE_TIME_WAIT)
    body = inet_diag.tcp_request(states, port, remote=True)
    _exchange(decoder, [(inet_diag.TCPDIAG_GETSOCK, body)])
    return decoder.rows or ()


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
