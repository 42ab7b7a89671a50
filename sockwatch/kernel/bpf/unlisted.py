"""Bound TCP sockets that sock_diag does not list, as the iterator over all fds has seen them."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sockwatch.kernel.bpf.flags import OPTIONS_OF_BYTE
from sockwatch.kernel.sock_diag.inet_diag import address_text
from sockwatch.kernel.sock_diag.row_decoder import RowDecoder
from sockwatch.model import Socket

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.rows import SocketRow


def add_unlisted(table: RowDecoder, rows: Iterable[SocketRow], port: int | None) -> None:
    """Add to the table the sockets of the rows that it does not have, on every port or on `port`.

    Each has the negative of its inode in place of the cookie, which only sock_diag hands out.
    """
    listed = {sock.inode for sock in table.sockets}
    for row in {row.inode: row for row in rows}.values():
        if row.inode and row.inode not in listed and port in (None, row.port):
            table.sockets.append(_socket(table, row))


def _socket(table: RowDecoder, row: SocketRow) -> Socket:
    return Socket(
        protocol="tcp",
        family="ipv4" if row.family == socket.AF_INET else "ipv6",
        state="BOUND",
        address=address_text(row.family, row.packed_address),
        port=row.port,
        peer_address=None,
        peer_port=None,
        device=table.device_name(row.device),
        v6only=row.family == socket.AF_INET6 and OPTIONS_OF_BYTE[row.flags].v6only,
        uid=row.uid,
        inode=row.inode,
        cookie=-row.inode,
        mini=False,
        queue=None,
        backlog=None,
        frees_in_s=None,
    )
