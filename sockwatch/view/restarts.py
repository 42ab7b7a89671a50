"""The cells of RESTART, look after look."""

from __future__ import annotations

from sockwatch.bind import explain_restart
from sockwatch.kept import Kept
from sockwatch.model import HostFacts, Port, RowKey, Snapshot
from sockwatch.view.look import Look
from sockwatch.view.restart import NO_SERVER, restart_cell


class Restarts:
    """Asks for the ports that are drawn; of one that has not changed it remembers the answer.

    Each is judged with the snapshot of its own network namespace.
    """

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self._look = None if snapshot is None else Look.of(snapshot)
        self._closer: dict[RowKey, Snapshot] = {}
        self._cells: Kept[[Port, HostFacts, bool], str] = Kept(self._ask)
        self._asked: Snapshot | None = None

    def show(self, look: Look) -> None:
        """The next cells are of rows of this look."""
        self._look = look
        self._cells.renew()

    def look_closer(self, row: Port | None, snapshot: Snapshot | None) -> None:
        """Judge this row with this snapshot, and each other with that of the look."""
        self._closer = {} if row is None or snapshot is None else {row.row_key: snapshot}

    def cell(self, row: Port) -> str:
        """As restart_cell(); that of a port which has gone says that there is no server."""
        key = row.row_key
        snapshot = self._closer.get(key)
        if snapshot is None and self._look is not None:
            snapshot = self._look.snapshot_of(row)
        port = None if snapshot is None else snapshot.port(*row.key)
        if snapshot is None or port is None:
            return NO_SERVER
        self._asked = snapshot
        return self._cells.of(key, port, snapshot.facts, snapshot.is_folded(*row.key))

    def _ask(self, port: Port, _facts: HostFacts, _is_folded: bool) -> str:
        assert self._asked is not None
        return restart_cell(explain_restart(port, self._asked))
