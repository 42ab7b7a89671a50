"""Which ports are new, and which have just gone."""

from __future__ import annotations

from typing import Literal

from sockwatch.model import Port, Protocol, Snapshot

Mark = Literal["", "new", "gone"]
MARK_S = 3.0


class Marks:
    """Compares each snapshot with the one before; a mark stays for MARK_S of their time."""

    def __init__(self) -> None:
        self._last: Snapshot | None = None
        self._keys: set[tuple[Protocol, int]] = set()
        self._new: dict[tuple[str, int], float] = {}
        self._gone: dict[tuple[str, int], tuple[float, Port]] = {}

    def update(self, snapshot: Snapshot) -> None:
        """Compare `snapshot` with the one of the last call; the first one marks nothing."""
        now = snapshot.time
        since = now - MARK_S
        self._new = {key: at for key, at in self._new.items() if since < at <= now}
        self._gone = {key: seen for key, seen in self._gone.items() if since < seen[0] <= now}
        here = {port.key for port in snapshot.ports}
        if self._last is not None:
            for key in here - self._keys:
                self._new[key] = now
                self._gone.pop(key, None)
            for key in self._keys - here:
                self._new.pop(key, None)
                port = self._last.port(*key)
                if port is not None:
                    self._gone[key] = (now, port)
        self._last, self._keys = snapshot, here

    def of(self, key: tuple[str, int]) -> Mark:
        """The mark of the port with that key; empty if it has none."""
        if key in self._new:
            return "new"
        return "gone" if key in self._gone else ""

    @property
    def gone(self) -> tuple[Port, ...]:
        """The ports that have just gone, as they were last seen."""
        return tuple(port for _, port in self._gone.values())
