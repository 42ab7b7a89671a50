"""The port under the cursor, asked for in its own network namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from textual.dom import DOMNode
from textual.timer import Timer

from sockwatch.model import Port, RowKey, Snapshot, SockwatchError
from sockwatch.tui.watched import Watched

REST_S: Final = 0.3  # how long the cursor stays before somebody is asked


class Subject(NamedTuple):
    """A row of another network namespace, and how it is looked at from within."""

    key: RowKey
    watched: Watched


class CloserLook:
    """Looks once the cursor has rested, and again when it is told to; `seen` hears of each answer.

    The look takes place in a thread, never more than one at a time.
    """

    def __init__(self, screen: DOMNode, seen: Callable[[], None]) -> None:
        self._screen = screen
        self._seen = seen
        self._subject: Subject | None = None
        self._snapshot: Snapshot | None = None
        self._rests: Timer | None = None
        self._is_looking = False

    def snapshot_of(self, row: Port) -> Snapshot | None:
        """What was seen of the row; None if nothing was, yet or at all, or it is not the subject.

        It is not while the cursor has moved on and rest_on() has not been called yet.
        """
        is_subject = self._subject is not None and self._subject.key == row.row_key
        return self._snapshot if is_subject else None

    def rest_on(self, subject: Subject | None) -> None:
        """The cursor is there; None where there is nothing to ask."""
        before, self._subject = self._subject, subject
        if before is not None and subject is not None and before.key == subject.key:
            return
        self._snapshot = None
        if self._rests is not None:
            self._rests.stop()
        self._rests = None if subject is None else self._screen.set_timer(REST_S, self._look)

    def again(self) -> None:
        """Look again, if there was a look at the subject."""
        if self._snapshot is not None:
            self._look()

    def _look(self) -> None:
        if not self._is_looking:
            self._is_looking = True
            self._screen.run_worker(self._look_from_within())

    async def _look_from_within(self) -> None:
        try:
            while (subject := self._subject) is not None:
                watched = subject.watched
                try:
                    snapshot = await asyncio.to_thread(watched.take, watched.port)
                except SockwatchError:  # its row says how old it is, or goes with the next poll
                    snapshot = None
                if self._subject is not None and self._subject.key == subject.key:
                    self._snapshot = snapshot
                    break
        finally:
            self._is_looking = False
        self._seen()
