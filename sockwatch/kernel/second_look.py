"""A port is not taken for free before a second look.

The kernel lists listeners, then bound sockets, then connections (inet_diag_dump_icsk of
net/ipv4/inet_diag.c), so a socket that meanwhile goes from one list to another is in none. A server
does so once, when it listens; then one more look finds it. One that moves all the time takes a few:
between the first two lists only, since the third is long, and a socket comes back from it to those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sockwatch.kernel import host
from sockwatch.kernel.sock_diag import dumps
from sockwatch.kernel.sock_diag.inet_diag import (
    ALL_STATES,
    STATE_BOUND_INACTIVE,
    STATE_LISTEN,
    address_text,
)
from sockwatch.kernel.sock_diag.row_decoder import RowDecoder
from sockwatch.model import KernelError, Port, Snapshot

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from sockwatch.kernel.snapshot import SnapshotReader

SERVER_STATES: Final = 1 << STATE_LISTEN | 1 << STATE_BOUND_INACTIVE
# Where no server was seen: a socket that moves all the time escapes each third look.
LOOKS: Final = (ALL_STATES, *[SERVER_STATES] * 7)
MOST_SNAPSHOTS: Final = 16


def take_settled(
    reader: SnapshotReader, port: int, is_enough: Callable[[Snapshot], bool] = lambda _: False
) -> Snapshot:
    """Take a snapshot of the port that has what further looks at its TCP sockets show.

    There are none where a snapshot `is_enough` by itself. Raises KernelError where neither
    sock_diag nor /proc/net can be read.
    """
    snapshot = reader.take(port)
    for _ in range(MOST_SNAPSHOTS):
        if is_enough(snapshot) or not _shows_more(snapshot, port):
            break
        snapshot = reader.take(port)
    return snapshot


def _shows_more(snapshot: Snapshot, number: int) -> bool:
    """Whether a further look shows a TCP socket that the snapshot lacks."""
    port = snapshot.port("tcp", number) or Port("tcp", number, {})
    has_server = port.listeners or port.bound
    looks = LOOKS[: 1 if has_server else None]
    with dumps.opened() as diag:
        return any(_lacks(port, _look(number, states, diag)) for states in looks)


def _look(number: int, states: int, diag: socket.socket | None) -> RowDecoder:
    decoder = RowDecoder("tcp", host.device_namer(), count_minis=False)
    try:
        dumps.walk(decoder, states, number, diag=diag)
    except KernelError:  # the snapshot says so already
        return RowDecoder("tcp", host.device_namer())
    return decoder


def _lacks(port: Port, look: RowDecoder) -> bool:
    """Whether the port lacks a socket of the look, or all connections of an address."""
    servers = {sock.cookie for sock in (*port.listeners, *port.bound)}
    if any(sock.cookie not in servers for sock in look.sockets):
        return True
    addresses = {sock.address for sock in (*port.listeners, *port.bound)}
    addresses |= {group.address for group in port.groups}
    return any(address_text(key.family, key.address) not in addresses for key in look.members)
