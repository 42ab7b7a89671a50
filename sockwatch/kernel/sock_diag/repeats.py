"""Rows that a resumed dump sends again: those of one hash bucket, which holds a handful."""

from __future__ import annotations

from typing import Final

from sockwatch.kernel.sock_diag.inet_diag import AT_COOKIE

MOST: Final = 16


class Repeats:
    """Remembers the cookies of the last rows; the rows of one kind are given in their order."""

    def __init__(self) -> None:
        self._last: tuple[int, ...] = ()

    def skip(self, rows: memoryview, stride: int) -> int:
        """How many rows at the front of a run have come already, at the end of the one before."""
        count = len(rows) // stride
        row = 0
        while row < count and cookie(rows, row * stride) in self._last:
            row += 1
        if row < count:
            newest = range(max(row, count - MOST), count)
            cookies = (cookie(rows, each * stride) for each in newest)
            self._last = (*self._last, *cookies)[-MOST:]
        return row


def cookie(rows: memoryview, start: int) -> int:
    """The cookie of the message that begins at `start`."""
    return int.from_bytes(rows[start + AT_COOKIE : start + AT_COOKIE + 8], "little")
