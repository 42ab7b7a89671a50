"""Count TIME_WAITs straight from packed rows: a busy host has 100,000 of them.

Every mini socket is a row of one fixed length, so a received buffer is read by columns. No Python
object is made per row; what stays is one small list per port and group of alike rows.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sockwatch.kernel.sock_diag.client_ports import ClientPorts
from sockwatch.kernel.sock_diag.inet_diag import (
    AT_COOKIE,
    AT_DEVICE,
    AT_EXPIRES,
    AT_FAMILY,
    AT_PEER,
    AT_SADDR,
    AT_SPORT,
    AT_STATE,
    AT_TIMER,
    TIMER_MINI_SOCKET,
)
from sockwatch.kernel.sock_diag.repeats import Repeats, cookie
from sockwatch.model import SocketOptions


class Alike(NamedTuple):
    """What the TIME_WAITs of one group have in common, as encoded in the row."""

    family: int
    state: int
    address: bytes
    device: int
    options: SocketOptions | None  # what is remembered of the sockets they came from


class ClientsAlike(NamedTuple):
    """The same of the TIME_WAITs of client ports, which lead to one destination."""

    alike: Alike
    peer: bytes
    peer_port: int  # in network order


class ClientCount(NamedTuple):
    """How many there are, the first and last expiry in ms, the lowest and highest port."""

    count: int  # type: ignore[assignment] # nobody wants tuple.count here
    first: int
    last: int
    lowest_port: int
    highest_port: int


class MiniSocketTally:
    """Counts by (alike, port) with the first and last expiry in ms.

    `known` are the options of sockets by cookie; a TIME_WAIT keeps the cookie of its socket. With
    `clients`, those of client ports are counted by destination instead.
    """

    def __init__(
        self, known: Mapping[int, SocketOptions], clients: ClientPorts | None = None
    ) -> None:
        self._known = known
        self._clients = clients
        self._groups: dict[Alike, dict[int, list[int]]] = {}
        self._client_groups: dict[ClientsAlike, ClientCount] = {}
        self._repeats = Repeats()
        self.recognised: set[int] = set()

    def groups(self) -> Iterator[tuple[Alike, int, int, int, int]]:
        """(alike, port in network order, count, first expiry, last expiry)."""
        for alike, ports in self._groups.items():
            for port, (count, first, last) in ports.items():
                yield alike, port, count, first, last

    def client_groups(self) -> Mapping[ClientsAlike, ClientCount]:
        """Those of client ports."""
        return self._client_groups

    def add_run(self, rows: memoryview, stride: int) -> bool:
        """Add a run of rows of `stride` bytes each; False, and nothing added, if it is mixed."""
        if not are_minis(rows, stride):
            return False
        count = len(rows) // stride
        words = rows.cast("I")
        step = stride // 4
        if skip := self._repeats.skip(rows, stride):
            rows = rows[skip * stride :]
            words = rows.cast("I")
            count -= skip
        if not count:
            return True
        ports = rows.cast("H")[AT_SPORT // 2 :: stride // 2].tolist()
        expiries = words[AT_EXPIRES // 4 :: step].tolist()
        if self._clients is not None:
            peer_ports = rows.cast("H")[AT_SPORT // 2 + 1 :: stride // 2].tolist()
            own = self._clients.own(ports, peer_ports)
            if not all(own):
                for row in range(count):
                    self._add_one(rows, row * stride)
                return True
        if self._alike(words, rows, step, count) and not self._recognises(rows, stride):
            _count(self._group(rows, 0), ports, expiries)
        else:
            for row in range(count):
                group = self._group(rows, row * stride)
                _count(group, ports[row : row + 1], expiries[row : row + 1])
        return True

    def add_row(self, data: memoryview, start: int) -> None:
        """Add the row of the message that begins at `start`."""
        if not self._repeats.skip(data[start:], len(data) - start):
            self._add_one(data, start)

    def _add_one(self, data: memoryview, start: int) -> None:
        port, peer_port = _number(data, start + AT_SPORT, 2), _number(data, start + AT_SPORT + 2, 2)
        expiry = _number(data, start + AT_EXPIRES, 4)
        if self._clients is None or not self._clients.is_client(port, peer_port):
            _count(self._group(data, start), [port], [expiry])
            return
        self._clients.note([port])
        peer = bytes(data[start + AT_PEER : start + AT_PEER + 16])
        key = ClientsAlike(self._alike_row(data, start), peer, peer_port)
        number = socket.ntohs(port)
        count, first, last, lowest, highest = self._client_groups.get(
            key, ClientCount(0, expiry, expiry, number, number)
        )
        self._client_groups[key] = ClientCount(
            count + 1, min(first, expiry), max(last, expiry), min(lowest, number),
            max(highest, number),
        )  # fmt: skip

    def _recognises(self, rows: memoryview, stride: int) -> bool:
        """Whether the options of any of the rows are known."""
        if not self._known:
            return False
        # The cookie starts 4 bytes before a multiple of 8.
        quads = rows[4 : len(rows) - 4].cast("Q")
        return not self._known.keys().isdisjoint(quads[(AT_COOKIE - 4) // 8 :: stride // 8])

    def _alike(self, words: memoryview, rows: memoryview, step: int, count: int) -> bool:
        """Whether all rows share family, state, address and device."""
        for offset in (AT_DEVICE, AT_FAMILY):
            column = words[offset // 4 :: step].tobytes()
            if column != column[:4] * count:
                return False
        quads = rows.cast("Q")
        for offset in (AT_SADDR, AT_SADDR + 8):
            column = quads[offset // 8 :: step // 2].tobytes()
            if column != column[:8] * count:
                return False
        return True

    def _group(self, data: memoryview, start: int) -> dict[int, list[int]]:
        return self._groups.setdefault(self._alike_row(data, start), {})

    def _alike_row(self, data: memoryview, start: int) -> Alike:
        options = None
        if self._known:
            known_as = cookie(data, start)
            options = self._known.get(known_as)
            if options is not None:
                self.recognised.add(known_as)
        return Alike(
            data[start + AT_FAMILY],
            data[start + AT_STATE],
            bytes(data[start + AT_SADDR : start + AT_SADDR + 16]),
            _number(data, start + AT_DEVICE, 4),
            options,
        )


def are_minis(rows: memoryview, stride: int) -> bool:
    """Whether it is a run of mini sockets' rows of `stride` bytes each."""
    if stride % 8:
        return False
    count = len(rows) // stride
    lengths = rows.cast("I")[:: stride // 4].tobytes()
    if lengths != stride.to_bytes(4, "little") * count:
        return False
    return bytes(rows[AT_TIMER::stride]) == bytes((TIMER_MINI_SOCKET,)) * count


def _number(data: memoryview, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _count(group: dict[int, list[int]], ports: list[int], expiries: list[int]) -> None:
    for port, expiry in zip(ports, expiries, strict=True):
        entry = group.get(port)
        if entry is None:
            group[port] = [1, expiry, expiry]
            continue
        entry[0] += 1
        if expiry < entry[1]:
            entry[1] = expiry
        elif expiry > entry[2]:
            entry[2] = expiry
