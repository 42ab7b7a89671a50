"""Failures of the same kind that are too many to be written one by one: the kernel counts them."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final, NamedTuple

from sockwatch.kernel.bpf import loader, syscall
from sockwatch.kernel.failures.rows import (
    ALIKE_AT,
    ALIKE_BYTES,
    BURST_STRUCT,
    FAILURE_STRUCT,
    FailureRow,
)

KINDS: Final = 4096  # counted at once; the one that failed longest ago is dropped for a new one
RECENT_S: Final = 3.0  # a kind that has not failed for this long has been reported completely


class _Kind(NamedTuple):
    row: FailureRow  # the last one that was written
    repeats: int  # reported so far
    seen_at: float  # time.monotonic()


class Bursts:
    """The kernel's count of each kind of failure, and how much of it has been reported."""

    def __init__(self) -> None:
        self.fd = loader.new_map(
            lambda: syscall.map_create(
                syscall.LRU_HASH_MAP, ALIKE_BYTES, BURST_STRUCT.size, KINDS, "sockwatch_burst"
            )
        )
        self._kinds: OrderedDict[bytes, _Kind] = OrderedDict()

    @property
    def are_recent(self) -> bool:
        """Whether any kind has failed lately."""
        return bool(self._kinds)

    def since_the_last(self, row: FailureRow) -> FailureRow:
        """The row with its `repeats` counted since the row before of its kind."""
        key = _key(row)
        before = self._kinds.pop(key, None)
        self._kinds[key] = _Kind(row, row.repeats, time.monotonic())
        if len(self._kinds) > KINDS:
            self._kinds.popitem(last=False)
        return row._replace(repeats=_unreported(row.repeats, before))

    def take(self) -> list[FailureRow]:
        """The last row of each kind with unreported repeats; `repeats` is their number."""
        now = time.monotonic()
        rows = []
        for key, kind in list(self._kinds.items()):
            total = self._count(key)
            if repeats := _unreported(total, kind):
                rows.append(kind.row._replace(repeats=repeats))
                self._kinds[key] = _Kind(kind.row, total, now)
            elif now - kind.seen_at > RECENT_S:
                del self._kinds[key]
        return rows

    def _count(self, key: bytes) -> int:
        try:
            value = syscall.map_lookup(self.fd, key, BURST_STRUCT.size)
        except OSError:  # the map has dropped it
            return 0
        _, _, repeats = BURST_STRUCT.unpack(value)
        return int(repeats)


def _unreported(total: int, reported: _Kind | None) -> int:
    """A kind that the map had dropped starts at 0 again."""
    before = 0 if reported is None else reported.repeats
    return total - before if total >= before else total


def _key(row: FailureRow) -> bytes:
    return FAILURE_STRUCT.pack(*row)[ALIKE_AT : ALIKE_AT + ALIKE_BYTES]
