"""Which ports are new, and which have just gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sockwatch.model import Port, Snapshot

Mark = Literal["", "new", "gone"]
MARK_S = 3.0


class Marks:
    """Compares each look with the one before. Time is that of the looks."""

    def __init__(self) -> None:
        self._last: Snapshot | None = None
        self._new: dict[tuple[str, int], float] = {}
        self._gone: dict[tuple[str, int], tuple[float, Port]] = {}

    def update(self, snapshot: Snapshot) -> None:
        now = snapshot.time
        since = now - MARK_S
        self._new = {key: at for key, at in self._new.items() if since < at <= now}
        self._gone = {key: seen for key, seen in self._gone.items() if since < seen[0] <= now}
        if self._last is not None:
            last = {port.key: port for port in self._last.ports}
            here = {port.key for port in snapshot.ports}
            self._new.update(dict.fromkeys(here - last.keys(), now))
            for key in here:
                self._gone.pop(key, None)
            for key in last.keys() - here:
                self._new.pop(key, None)
                self._gone[key] = (now, last[key])
        self._last = snapshot

    def of(self, key: tuple[str, int]) -> Mark:
        if key in self._new:
            return "new"
        return "gone" if key in self._gone else ""

    @property
    def gone(self) -> tuple[Port, ...]:
        """The ports that have just gone, as they were last seen."""
        return tuple(port for _, port in self._gone.values())
