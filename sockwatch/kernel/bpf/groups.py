"""The kernel map in which mini sockets are counted, and its entries as groups."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sockwatch.kernel.bpf import loader, syscall
from sockwatch.kernel.bpf.rows import KEY_STRUCT, MINI, NO_CLOCK, TALLY_STRUCT, TimeWaitGroup
from sockwatch.model import KernelError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sockwatch.kernel.bpf.rows import SocketRow

    Key = tuple[bytes, int, int, int, int, int, int]
    Tally = tuple[int, int, int]

_BATCH = 4096


class GroupMap:
    """A hash map of the kernel. It belongs to one program; its owner closes `fd`.

    Raises BpfUnavailable.
    """

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._has_batches = True
        self.fd = loader.new_map(
            lambda: syscall.map_create(
                syscall.HASH_MAP, KEY_STRUCT.size, TALLY_STRUCT.size, entries, "sockwatch_tw"
            )
        )

    def take(self) -> list[tuple[Key, Tally]]:
        """Every entry; the map is empty afterwards. Raises KernelError."""
        try:
            keys, values = self._take_batches() if self._has_batches else self._take_each()
        except OSError as error:
            raise KernelError(
                f"a BPF map cannot be read: {error.strerror}", error.errno or 0
            ) from error
        return list(
            zip(KEY_STRUCT.iter_unpack(keys), TALLY_STRUCT.iter_unpack(values), strict=True)
        )

    def _take_batches(self) -> tuple[bytes, bytes]:
        keys, values = bytearray(), bytearray()
        position: bytes | None = None
        batch = min(_BATCH, self._entries)
        while True:
            try:
                more_keys, more_values, position = syscall.map_take_batch(
                    self.fd, KEY_STRUCT.size, TALLY_STRUCT.size, batch, position
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
        while (key := syscall.map_next_key(self.fd, None, KEY_STRUCT.size)) is not None:
            keys += key
            values += syscall.map_lookup(self.fd, key, TALLY_STRUCT.size)
            syscall.map_delete(self.fd, key)
        return bytes(keys), bytes(values)


def merge_groups(
    tallies: Iterable[tuple[Key, Tally]],
    spilled: Iterable[SocketRow],
    now_jiffies: int,
    ticks_per_second: int,
) -> list[TimeWaitGroup]:
    """Groups of mini sockets, from the map's entries and from the rows that did not fit into it.

    A spilled row has the time left when it was written, an entry of the map an absolute expiry.
    """
    merged: dict[Key, tuple[int, int | None, int | None]] = {
        key: (count, first - now_jiffies, last - now_jiffies)
        for key, (count, first, last) in tallies
    }
    for row in spilled:
        key = (
            row.packed_address,
            row.device,
            row.port,
            row.family,
            row.flags,
            row.state,
            MINI,
        )
        count, first, last = merged.get(key, (0, None, None))
        left = row.frees_in_jiffies
        if left != NO_CLOCK:
            first = left if first is None else min(first, left)
            last = left if last is None else max(last, left)
        merged[key] = (count + 1, first, last)

    def seconds(jiffies: int | None) -> float | None:
        return None if jiffies is None else max(0, jiffies) / ticks_per_second

    return [
        TimeWaitGroup(
            family,
            state,
            address,
            port,
            device,
            flags,
            count,
            seconds(first),
            seconds(last),
        )
        for (address, device, port, family, flags, state, _), (count, first, last) in merged.items()
    ]
