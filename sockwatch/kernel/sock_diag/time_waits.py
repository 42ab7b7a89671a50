"""Count TIME_WAITs straight from packed rows: a busy host has 100,000 of them.

Every mini socket is a row of one fixed length, so a received buffer is read by columns. No Python
object is made per row; what stays is one small list per port and group of alike rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from sockwatch.kernel.sock_diag.inet_diag import (
    AT_COOKIE,
    AT_DEVICE,
    AT_EXPIRES,
    AT_FAMILY,
    AT_SADDR,
    AT_SPORT,
    AT_STATE,
    AT_TIMER,
    TIMER_MINI_SOCKET,
)
from sockwatch.model import SocketOptions

# Rows that a resumed dump may repeat: those of one hash bucket, which holds a handful.
REPEATABLE_ROWS: Final = 16


class Alike(NamedTuple):
    """What the TIME_WAITs of one group have in common, as encoded in the row."""

    family: int
    state: int
    address: bytes
    device: int
    options: SocketOptions | None  # what is remembered of the sockets they came from


class MiniSocketTally:
    """Counts by (alike, port) with the first and last expiry in ms.

    `known` are the options of sockets by cookie; a TIME_WAIT keeps the cookie of its socket.
    """

    def __init__(self, known: Mapping[int, SocketOptions]) -> None:
        self._known = known
        self._groups: dict[Alike, dict[int, list[int]]] = {}
        self._tail: tuple[int, ...] = ()
        self.recognised: set[int] = set()

    def groups(self) -> Iterator[tuple[Alike, int, int, int, int]]:
        """(alike, port in network order, count, first expiry, last expiry)."""
        for alike, ports in self._groups.items():
            for port, (count, first, last) in ports.items():
                yield alike, port, count, first, last

    def add_run(self, rows: memoryview, stride: int) -> bool:
        """Add a run of rows of `stride` bytes each; False, and nothing added, if it is mixed."""
        if stride % 8:
            return False
        count = len(rows) // stride
        words = rows.cast("I")
        step = stride // 4
        lengths = words[::step].tobytes()
        if lengths != stride.to_bytes(4, "little") * count:
            return False
        if bytes(rows[AT_TIMER::stride]) != bytes((TIMER_MINI_SOCKET,)) * count:
            return False
        skip = self._repeated(rows, stride, count)
        if skip == count:
            return True
        if skip:
            return self.add_run(rows[skip * stride :], stride)
        self._tail = tuple(
            _cookie(rows, row * stride) for row in range(max(0, count - REPEATABLE_ROWS), count)
        )
        ports = rows.cast("H")[AT_SPORT // 2 :: stride // 2].tolist()
        expiries = words[AT_EXPIRES // 4 :: step].tolist()
        if self._alike(words, rows, step, count) and not self._recognises(rows, stride):
            _count(self._group(rows, 0), ports, expiries)
        else:
            for row in range(count):
                group = self._group(rows, row * stride)
                _count(group, ports[row : row + 1], expiries[row : row + 1])
        return True

    def add_row(self, data: memoryview, start: int) -> None:
        """Add the row of the message that begins at `start`."""
        cookie = _cookie(data, start)
        if cookie in self._tail:
            return
        self._tail = (*self._tail[1 - REPEATABLE_ROWS :], cookie)
        port = int.from_bytes(data[start + AT_SPORT : start + AT_SPORT + 2], "little")
        expiry = int.from_bytes(data[start + AT_EXPIRES : start + AT_EXPIRES + 4], "little")
        _count(self._group(data, start), [port], [expiry])

    def _recognises(self, rows: memoryview, stride: int) -> bool:
        """Whether the options of any of the rows are known."""
        if not self._known:
            return False
        # The cookie starts 4 bytes before a multiple of 8.
        quads = rows[4 : len(rows) - 4].cast("Q")
        return not self._known.keys().isdisjoint(quads[(AT_COOKIE - 4) // 8 :: stride // 8])

    def _repeated(self, rows: memoryview, stride: int, count: int) -> int:
        """How many rows at the front were already counted at the end of the previous run."""
        row = 0
        while row < count and _cookie(rows, row * stride) in self._tail:
            row += 1
        return row

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
        options = None
        if self._known:
            cookie = _cookie(data, start)
            options = self._known.get(cookie)
            if options is not None:
                self.recognised.add(cookie)
        alike = Alike(
            data[start + AT_FAMILY],
            data[start + AT_STATE],
            bytes(data[start + AT_SADDR : start + AT_SADDR + 16]),
            int.from_bytes(data[start + AT_DEVICE : start + AT_DEVICE + 4], "little"),
            options,
        )
        return self._groups.setdefault(alike, {})


def _cookie(data: memoryview, start: int) -> int:
    return int.from_bytes(data[start + AT_COOKIE : start + AT_COOKIE + 8], "little")


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
