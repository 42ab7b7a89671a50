"""Count connections straight from packed rows, on a host that has very many of them.

The rows of full sockets in one buffer usually have one length, so they are read by columns. No
Python object is made per row; what stays of each is the number of its group and its inode.
"""

from __future__ import annotations

import socket
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import compress, count, repeat
from operator import not_
from typing import Final, NamedTuple

from sockwatch.kernel.sock_diag.client_ports import ClientPorts
from sockwatch.kernel.sock_diag.inet_diag import (
    AT_DEVICE,
    AT_FAMILY,
    AT_INODE,
    AT_PEER,
    AT_SADDR,
    AT_SPORT,
    AT_STATE,
    AT_TIMER,
    AT_UID,
    STATE_CLOSE,
    STATE_LISTEN,
    STATE_SYN_RECV,
    TIMER_MINI_SOCKET,
)
from sockwatch.kernel.sock_diag.repeats import Repeats

# Listeners and bound sockets are kept one by one; half-open requests own nothing.
NOT_COUNTED: Final = frozenset({STATE_LISTEN, STATE_CLOSE, STATE_SYN_RECV})
WORDS: Final = 4  # of an address

Column = list[int]


class Alike(NamedTuple):
    """Connections that have this in common.

    Of clients, `port` is the peer's and `peer` its address. Ports are in network order; an IPv4
    address has zeros behind it.
    """

    is_client: bool
    family: int
    state: int
    address: bytes
    device: int
    uid: int
    port: int
    peer: bytes
    count: int  # type: ignore[assignment] # nobody wants tuple.count here
    with_fd: int
    lowest_port: int  # of clients, in host order
    highest_port: int


class ConnectionTally:
    """Counts by (port, state, local address, device, uid), clients by destination.

    `clients` None means that no ports are to be told to be clients'.
    """

    def __init__(self, clients: ClientPorts | None) -> None:
        self._clients = clients
        self._numbers: defaultdict[tuple[int, ...], int] = defaultdict(count().__next__)
        self._group_of_row = array("I")
        self._inode_of_row = array("I")
        self._spans: dict[int, list[int]] = {}
        self._repeats = Repeats()

    def add_run(self, rows: memoryview, stride: int) -> bool:
        """Add rows of `stride` bytes each; False, and nothing added, if they are not all alike.

        Alike are connections of full sockets.
        """
        if stride % 4:
            return False
        size = len(rows) // stride
        words, step = rows.cast("I"), stride // 4
        if words[::step].tobytes() != stride.to_bytes(4, "little") * size:
            return False
        if TIMER_MINI_SOCKET in bytes(rows[AT_TIMER::stride]):
            return False
        if not NOT_COUNTED.isdisjoint(bytes(rows[AT_STATE::stride])):
            return False
        skip = self._repeats.skip(rows, stride)
        if skip < size:
            self._add(rows[skip * stride :], stride)
        return True

    def groups(self) -> Iterator[tuple[int, Alike]]:
        """Each group with its number."""
        counts = Counter(self._group_of_row)
        with_fd = Counter(compress(self._group_of_row, self._inode_of_row))
        for key, number in self._numbers.items():
            is_client, family_and_state, device, uid, port, *address = key
            lowest, highest = self._spans.get(number, (0, 0))
            yield (
                number,
                Alike(
                    is_client != 0,
                    family_and_state & 0xFF,
                    family_and_state >> 8,
                    _bytes(address[:WORDS]),
                    device,
                    uid,
                    port,
                    _bytes(address[WORDS:]),
                    counts[number],
                    with_fd[number],
                    lowest,
                    highest,
                ),
            )

    @property
    def group_of(self) -> dict[int, int]:
        """The number of its group by the inode of each connection with an fd."""
        found = dict(zip(self._inode_of_row, self._group_of_row, strict=True))
        found.pop(0, None)
        return found

    @property
    def inodes(self) -> set[int]:
        """Those of all connections with an fd."""
        return set(self._inode_of_row) - {0}

    def _add(self, rows: memoryview, stride: int) -> None:
        words, step = rows.cast("I"), stride // 4
        halves = rows.cast("H")

        def word(at: int) -> Column:
            return words[at // 4 :: step].tolist()

        ports = halves[AT_SPORT // 2 :: stride // 2].tolist()
        peer_ports = halves[AT_SPORT // 2 + 1 :: stride // 2].tolist()
        common = (
            halves[AT_FAMILY // 2 :: stride // 2].tolist(),
            word(AT_DEVICE),
            word(AT_UID),
        )
        address = [word(AT_SADDR + 4 * n) for n in range(WORDS)]
        inodes = words[AT_INODE // 4 :: step]
        if self._clients is None:
            own = None
        else:
            own = self._clients.own(ports, peer_ports)
            if all(own):
                own = None
        columns = zip(repeat(0), *common, ports, *address, strict=False)
        if own is None:
            self._group_of_row.extend(map(self._numbers.__getitem__, columns))
            self._inode_of_row.extend(inodes.tolist())
            return
        self._group_of_row.extend(map(self._numbers.__getitem__, compress(columns, own)))
        self._inode_of_row.extend(compress(inodes.tolist(), own))
        is_client = list(map(not_, own))
        peer = [word(AT_PEER + 4 * n) for n in range(WORDS)]
        columns = zip(repeat(1), *common, peer_ports, *address, *peer, strict=False)
        numbers = list(map(self._numbers.__getitem__, compress(columns, is_client)))
        self._group_of_row.extend(numbers)
        self._inode_of_row.extend(compress(inodes.tolist(), is_client))
        self._add_ports(numbers, list(compress(ports, is_client)))

    def _add_ports(self, numbers: Iterable[int], ports: Column) -> None:
        assert self._clients is not None
        self._clients.note(ports)
        for number, port in zip(numbers, map(socket.ntohs, ports), strict=True):
            span = self._spans.get(number)
            if span is None:
                self._spans[number] = [port, port]
            elif port < span[0]:
                span[0] = port
            elif port > span[1]:
                span[1] = port


def _bytes(words: Iterable[int]) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)
