"""Room for what is cut in one column, from columns whose cells leave some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from sockwatch.kept import Kept
from sockwatch.model import Port
from sockwatch.view.column import Column
from sockwatch.view.fit import cell_width

MEASURED: Final = frozenset({"netns", "address", "queue", "est", "tw", "process"})
MOST_ROWS: Final = 200  # more are not measured: a look at them is to be quick
SORT_SIGN: Final = 1  # behind the title of the column that rows are sorted by


class Need(NamedTuple):
    """How many cells the widest text of a column takes, and how many at least, by its `short`."""

    whole: int = 0
    least: int = 0

    def and_of(self, other: Need) -> Need:
        """What both fit into."""
        return Need(max(self.whole, other.whole), max(self.least, other.least))


def need_of(column: Column[Port], row: Port) -> Need:
    """What the cell of that row takes; ages are not measured."""
    whole = cell_width(column.text(row, 0.0))
    if column.short is None:
        return Need(whole, whole)
    return Need(whole, min(whole, cell_width(column.short(row, 0.0))))


class Room:
    """What was needed once stays so until the columns are others: they do not move about."""

    def __init__(self) -> None:
        self._of: Sequence[Column[Port]] = ()
        self._needs: dict[str, Need] = {}
        self._measured: Kept[[Port, tuple[Column[Port], ...]], tuple[Need, ...]] = Kept(_measure)

    def learn(self, columns: Sequence[Column[Port]], rows: Sequence[Port]) -> None:
        """The rows are shown in these columns, which are laid out."""
        if columns is not self._of:
            self._of, self._needs = columns, {}
        self._measured.renew()
        measured = tuple(column for column in columns if column.key in MEASURED)
        for row in rows if len(rows) <= MOST_ROWS else ():
            needs = self._measured.of(row.row_key, row, measured)
            for column, found in zip(measured, needs, strict=True):
                self._needs[column.key] = found.and_of(self._needs.get(column.key, Need()))

    def given(self) -> tuple[Column[Port], ...]:
        """The columns, as wide together as before."""
        return tuple(_moved(self._of, self._needs))


def _measure(row: Port, columns: tuple[Column[Port], ...]) -> tuple[Need, ...]:
    return tuple(need_of(column, row) for column in columns)


def _moved(columns: Sequence[Column[Port]], needs: dict[str, Need]) -> Iterator[Column[Port]]:
    """The columns with the spare cells of some at the end of others, as far as those are cut."""
    lacking = {c.key: max(0, needs[c.key].least - c.width) for c in columns if c.key in needs}
    wanted, widths = sum(lacking.values()), {column.key: column.width for column in columns}
    left = 0
    for column in columns:
        if column.key in needs:
            used = max(needs[column.key].whole, cell_width(column.title) + SORT_SIGN)
            spare = max(0, min(column.width - used, wanted - left))
            widths[column.key] -= spare
            left += spare
    for key, cells in lacking.items():
        more = min(cells, left)
        widths[key] += more
        left -= more
    return (replace(column, width=widths[column.key]) for column in columns)
