"""Which ports are new, and which have just gone."""

from __future__ import annotations

from typing import Literal

from sockwatch.model import Port, RowKey
from sockwatch.view.look import Look

Mark = Literal["", "new", "gone"]
MARK_S = 3.0


class Marks:
    """Compares each look with the one before; a mark stays for MARK_S of their time."""

    def __init__(self) -> None:
        self._last: Look | None = None
        self._rows: dict[RowKey, Port] = {}
        self._new: dict[RowKey, float] = {}
        self._gone: dict[RowKey, tuple[float, Port]] = {}

    def update(self, look: Look) -> None:
        """Compare `look` with that of the last call; the first one marks nothing."""
        now = look.time
        since = now - MARK_S
        last = self._last
        self._new = {key: at for key, at in self._new.items() if since < at <= now}
        self._gone = {key: seen for key, seen in self._gone.items() if since < seen[0] <= now}
        here = {row.row_key: row for row in look.rows}
        if last is not None:
            for key in here.keys() - self._rows.keys():
                self._gone.pop(key, None)
                if not last.is_folded(key):
                    self._new[key] = now
            for key in self._rows.keys() - here.keys():
                self._new.pop(key, None)
                if not look.is_folded(key):
                    self._gone[key] = (now, self._rows[key])
        self._last, self._rows = look, here

    def of(self, key: RowKey) -> Mark:
        """The mark of the row with that key; empty if it has none."""
        if key in self._new:
            return "new"
        return "gone" if key in self._gone else ""

    @property
    def gone(self) -> tuple[Port, ...]:
        """The ports that have just gone, as they were last seen."""
        return tuple(port for _, port in self._gone.values())
