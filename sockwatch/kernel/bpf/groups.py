"""The kernel maps in which sockets and their holders are counted, and their entries."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

from sockwatch.kernel.bpf import loader, syscall
from sockwatch.kernel.bpf.rows import (
    HOLDER_KEY_STRUCT,
    HOLDER_TALLY_STRUCT,
    KEY_STRUCT,
    MINI,
    NO_CLOCK,
    TALLY_STRUCT,
    HolderCount,
    SocketCount,
)
from sockwatch.model import KernelError

if TYPE_CHECKING:
    import struct
    from collections.abc import Iterable

    from sockwatch.kernel.bpf.rows import Key, SocketRow

    Entry = tuple[tuple[Any, ...], tuple[Any, ...]]

_BATCH = 4096


class CountMap:
    """A hash map of the kernel. It belongs to one program; its owner closes `fd`.

    Raises BpfUnavailable.
    """

    def __init__(self, name: str, key: struct.Struct, value: struct.Struct, entries: int) -> None:
        self._key, self._value = key, value
        self._entries = entries
        self._has_batches = True
        self.fd = loader.new_map(
            lambda: syscall.map_create(syscall.HASH_MAP, key.size, value.size, entries, name)
        )

    @classmethod
    def of_sockets(cls, entries: int) -> CountMap:
        """The map that iter/tcp counts in."""
        return cls("sockwatch_tcp", KEY_STRUCT, TALLY_STRUCT, entries)

    @classmethod
    def of_holders(cls, entries: int) -> CountMap:
        """The map that iter/task_file counts in."""
        return cls("sockwatch_files", HOLDER_KEY_STRUCT, HOLDER_TALLY_STRUCT, entries)

    def take(self) -> list[Entry]:
        """Every entry; the map is empty afterwards. Raises KernelError."""
        try:
            keys, values = self._take_batches() if self._has_batches else self._take_each()
        except OSError as error:
            raise KernelError(
                f"a BPF map cannot be read: {error.strerror}", error.errno or 0
            ) from error
        return list(zip(self._key.iter_unpack(keys), self._value.iter_unpack(values), strict=True))

    def _take_batches(self) -> tuple[bytes, bytes]:
        keys, values = bytearray(), bytearray()
        position: bytes | None = None
        batch = min(_BATCH, self._entries)
        while True:
            try:
                more_keys, more_values, position = syscall.map_take_batch(
                    self.fd, self._key.size, self._value.size, batch, position
                )
            except OSError as error:
                if error.errno == errno.ENOSPC:  # one hash bucket holds more than a batch
                    batch *= 2
                    continue
                if error.errno == errno.EINVAL and not keys:  # before 5.6, or not for this map
                    self._has_batches = False
                    return self._take_each()
                raise
            keys += more_keys
            values += more_values
            if position is None:
                return bytes(keys), bytes(values)

    def _take_each(self) -> tuple[bytes, bytes]:
        keys, values = bytearray(), bytearray()
        while (key := syscall.map_next_key(self.fd, None, self._key.size)) is not None:
            keys += key
            values += syscall.map_lookup(self.fd, key, self._value.size)
            syscall.map_delete(self.fd, key)
        return bytes(keys), bytes(values)


def merge_counts(
    entries: Iterable[Entry],
    spilled: Iterable[SocketRow],
    now_jiffies: int,
    ticks_per_second: int,
) -> list[SocketCount]:
    """Counts of sockets, from the map's entries and from the rows that did not fit into it.

    A spilled row has the time left when it was written, an entry of the map an absolute expiry.
    """
    merged: dict[tuple[Any, ...], tuple[int, int, int, int | None, int | None]] = {
        key[:11]: (count, lowest, highest, first - now_jiffies, last - now_jiffies)
        if key[9] == MINI
        else (count, lowest, highest, None, None)
        for key, (count, first, last, lowest, highest, _) in entries
    }
    for row in spilled:
        key = row[:11] if not row.is_client else row._replace(port=0)[:11]
        count, lowest, highest, first, last = merged.get(key, (0, row.port, row.port, None, None))
        left = row.frees_in_jiffies
        if left != NO_CLOCK:
            first = left if first is None else min(first, left)
            last = left if last is None else max(last, left)
        merged[key] = (count + 1, min(lowest, row.port), max(highest, row.port), first, last)

    def seconds(jiffies: int | None) -> float | None:
        return None if jiffies is None else max(0, jiffies) / ticks_per_second

    return [
        SocketCount._make((*_key(key), count, lowest, highest, seconds(first), seconds(last)))
        for key, (count, lowest, highest, first, last) in merged.items()
    ]


def merge_holders(entries: Iterable[Entry], spilled: Iterable[SocketRow]) -> list[HolderCount]:
    """Holders of connections, from the map's entries and from the rows that did not fit into it."""
    merged = {(_key(key), key[-2], key[-1]): (fds, fd) for key, (fds, fd, _) in entries}
    for row in spilled:
        whose = (_key(row), row.pid, row.netns_inode)
        fds, fd = merged.get(whose, (0, row.fd))
        merged[whose] = (fds + 1, fd)
    return [
        HolderCount(key, pid, netns_inode, fds, fd)
        for (key, pid, netns_inode), (fds, fd) in merged.items()
    ]


def _key(columns: tuple[Any, ...]) -> Key:
    return (*columns[:5], _number(columns[5]), *columns[6:11])


def _number(port: int) -> int:
    """A peer's port, which the kernel keeps in network order."""
    return socket.ntohs(port)
