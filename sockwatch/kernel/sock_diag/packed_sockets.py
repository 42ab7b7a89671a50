"""Sockets of one port kept as packed rows, so that 100,000 of them open at once."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, overload

from sockwatch.model import Holder, Socket, SocketOptions


class MiniKey(NamedTuple):
    """What is seen of a mini socket that says something about its options."""

    state: str
    address: str
    device: str | None


class PackedSockets(Sequence[Socket]):
    """Sockets that are decoded from their packed rows when they are accessed."""

    def __init__(self, decode: Callable[[bytes, int], Socket]) -> None:
        self._decode = decode
        self._buffers: list[bytes] = []
        self._positions: dict[int, array[int]] = defaultdict(lambda: array("Q"))
        self._order: tuple[array[int], ...] | None = None
        self._holders: Mapping[int, tuple[Holder, ...]] = {}
        self._options: Mapping[int, SocketOptions] = {}
        self._minis: Mapping[MiniKey, SocketOptions] = {}

    def add_buffer(self, data: bytes) -> None:
        """Keep a received buffer; add() then names the rows in it."""
        self._buffers.append(data)

    def add(self, state: int, starts: range) -> None:
        """Keep the rows at `starts` of the buffer added last."""
        base = len(self._buffers) - 1 << 32
        self._positions[state].extend(range(base + starts.start, base + starts.stop, starts.step))
        self._order = None

    def attach(
        self,
        holders: Mapping[int, tuple[Holder, ...]],
        options: Mapping[int, SocketOptions],
        minis: Mapping[MiniKey, SocketOptions],
    ) -> None:
        """Give each socket its holders, by inode, and options, by cookie, as it is made.

        A mini socket whose cookie is not there has the options of all that are alike.
        """
        self._holders, self._options, self._minis = holders, options, minis

    def __len__(self) -> int:
        return sum(map(len, self._positions.values()))

    @overload
    def __getitem__(self, index: int) -> Socket: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Socket, ...]: ...
    def __getitem__(self, index: int | slice) -> Socket | tuple[Socket, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        if index < 0:
            index += len(self)
        if self._order is None:
            self._order = tuple(self._positions[state] for state in sorted(self._positions))
        for positions in self._order:
            if 0 <= index < len(positions):
                position = positions[index]
                return self._complete(
                    self._decode(self._buffers[position >> 32], position & 0xFFFFFFFF)
                )
            index -= len(positions)
        raise IndexError(index)

    def _complete(self, sock: Socket) -> Socket:
        holders = self._holders.get(sock.inode or 0, ())
        known = self._options.get(sock.cookie)
        if known is None and sock.mini:
            known = self._minis.get(MiniKey(sock.state, sock.address, sock.device))
        if known is None:
            return sock._replace(holders=holders)
        v6only = known.v6only if sock.v6only is None else sock.v6only
        return sock._replace(holders=holders, flags=known.flags, v6only=v6only)
