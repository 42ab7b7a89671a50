"""Drops of listeners as counters, which must not go back while sockets come and go."""

from __future__ import annotations

from collections.abc import Mapping

Labels = tuple[str, ...]


class DropCounts:
    """Adds what sockets that have gone had dropped. Of one look after the other."""

    def __init__(self) -> None:
        self._before: dict[Labels, tuple[int, Mapping[int, int]]] = {}
        self._now: dict[Labels, tuple[int, Mapping[int, int]]] = {}

    def renew(self) -> None:
        """Begin a look; what the last one has not told is forgotten."""
        self._before, self._now = self._now, {}

    def total(self, labels: Labels, drops: Mapping[int, int]) -> int:
        """Of all sockets that were on the address; `drops` are those there now, by cookie."""
        gone, last = self._before.get(labels, (0, {}))
        gone += sum(count for cookie, count in last.items() if cookie not in drops)
        self._now[labels] = gone, drops
        return gone + sum(drops.values())
