"""Servers' rows that a look has decoded; the next one uses them again while they are equal."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from sockwatch.kept import Kept
from sockwatch.kernel.sock_diag import inet_diag
from sockwatch.kernel.sock_diag.inet_diag import ROW, ROW_SIZE
from sockwatch.kernel.sock_diag.netlink import HEADER, HEADER_SIZE, NLMSG_DONE, NLMSG_ERROR, ending
from sockwatch.kernel.sock_diag.socket_row import decode_row
from sockwatch.model import Protocol, Socket

DeviceName: TypeAlias = Callable[[int], str | None]

FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
SERVER_STATES: Final = (inet_diag.STATE_LISTEN, inet_diag.STATE_CLOSE)


class Servers(NamedTuple):
    """The sockets of a buffer that has only listening, bound and unconnected ones.

    `ending` is the errno of the dump if it ends here (0: complete), else None.
    """

    sockets: tuple[Socket, ...]
    cookies: frozenset[int]
    ending: int | None


class KeptRows:
    """Decodes the rows of servers; equal rows, and buffers of them, keep their objects.

    It remembers what was asked for since the last call of renew() but one.
    """

    def __init__(self) -> None:
        self._rows: Kept[[Protocol, bytes, str | None], Socket] = Kept(decode_row)
        self._before: dict[tuple[Protocol, bytes], Servers] = {}
        self._now: dict[tuple[Protocol, bytes], Servers] = {}

    def __len__(self) -> int:
        return max(len(self._rows), sum(len(found.sockets) for found in self._now.values()))

    def renew(self) -> None:
        """Begin a look."""
        self._rows.renew()
        self._before, self._now = self._now, {}

    def server(self, cookie: int, protocol: Protocol, row: bytes, device: str | None) -> Socket:
        """The socket of a row, bound to `device`."""
        return self._rows.of(cookie, protocol, row, device)

    def servers(self, protocol: Protocol, data: bytes) -> Servers | None:
        """The sockets of a received buffer; None unless all are servers', bound to no device.

        (The name of a device may change while the rows stay the same.)
        """
        found = self._before.get((protocol, data)) or self._decoded(protocol, data)
        if found is not None:
            self._now[protocol, data] = found
        return found

    def _decoded(self, protocol: Protocol, data: bytes) -> Servers | None:
        rows: dict[int, bytes] = {}  # by cookie: a dump that resumes can show a socket twice
        start, end, number = 0, len(data), None
        while start + HEADER_SIZE <= end:
            length, kind = HEADER.unpack_from(data, start)
            if kind in (NLMSG_DONE, NLMSG_ERROR):
                number, start = ending(data, start), end
                break
            if length < ROW_SIZE or start + length > end:
                return None
            family, state, _, _, sport, _, _, _, device, cookie, *_ = ROW.unpack_from(
                data, start + HEADER_SIZE
            )
            if family not in FAMILIES or state not in SERVER_STATES or device or not sport:
                return None
            rows.setdefault(cookie, data[start + HEADER_SIZE : start + length])
            start += (length + 3) & ~3
        if start < end:
            return None
        sockets = tuple(self.server(each, protocol, row, None) for each, row in rows.items())
        return Servers(sockets, frozenset(rows), number)
