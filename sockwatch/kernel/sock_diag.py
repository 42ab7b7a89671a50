"""Dumps of the kernel's socket tables over pyroute2's netlink socket, with our own Marshal.

pyroute2's own one makes an object per attribute and drops the errno of NLMSG_ERROR and NLMSG_DONE;
ours hands each received buffer to a RowDecoder and turns every errno into a KernelError.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from pyroute2.netlink import nlmsg
from pyroute2.netlink.diag import DiagSocket
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nlsocket import Marshal

from sockwatch.kernel import inet_diag
from sockwatch.kernel.event_loop import outside_event_loop
from sockwatch.kernel.inet_diag import ALL_STATES
from sockwatch.kernel.row_decoder import RowDecoder
from sockwatch.model import Family, KernelError


class _Request(nlmsg):  # type: ignore[misc] # pyroute2 ships no types
    fields = (("body", "s"),)


class _BulkMarshal(Marshal):  # type: ignore[misc] # pyroute2 ships no types
    """Feeds whole buffers to the decoder; the dicts are what pyroute2's receive loop wants back."""

    def __init__(self, decoder: RowDecoder) -> None:
        super().__init__()
        self._decoder = decoder
        self.errno: int | None = None

    def parse(self, data: bytes, *_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        self.errno = self._decoder.feed(data)
        yield {"header": {"error": None, "flags": 2}}  # NLM_F_MULTI

    def is_enough(self, _: dict[str, Any]) -> bool:
        return self.errno is not None


def dump(decoder: RowDecoder, states: int = ALL_STATES, port: int | None = None) -> None:
    """Feed the decoder with the sockets of its protocol in `states`, on every port or on `port`.

    Raises KernelError where the kernel refuses the table or breaks off.
    """
    if decoder.protocol == "tcp":
        requests = [(inet_diag.TCPDIAG_GETSOCK, inet_diag.tcp_request(states, port))]
    else:
        families: tuple[Family, ...] = ("ipv4", "ipv6")
        requests = [
            (inet_diag.SOCK_DIAG_BY_FAMILY, inet_diag.udp_request(family, port))
            for family in families
        ]
    outside_event_loop(lambda: _run(requests, decoder))


def ask(diag: DiagSocket, kind: int, flags: int, body: bytes, decoder: RowDecoder) -> int:
    """Send one request and feed the decoder with the answer; the errno it ended with, 0 for none.

    Raises KernelError where the answer breaks off.
    """
    marshal = _BulkMarshal(decoder)
    diag.set_marshal(marshal)
    request = _Request()
    request["body"] = body
    for _ in diag.nlm_request(request, kind, flags):
        pass
    if marshal.errno is None:
        raise KernelError("sock_diag broke off in the middle of an answer", 0)
    return marshal.errno


def _run(requests: list[tuple[int, bytes]], decoder: RowDecoder) -> None:
    try:
        with DiagSocket() as diag:
            for kind, body in requests:
                if number := ask(diag, kind, inet_diag.NLM_F_REQUEST_DUMP, body, decoder):
                    raise _refused(number)
    except (OSError, NetlinkError) as error:
        raise _refused(error.errno if isinstance(error, OSError) else error.code) from error


def _refused(errno: int | None) -> KernelError:
    return KernelError(f"sock_diag: {os.strerror(errno or 0)}", errno or 0)
