"""A column of a table: what its cells say, how they sort and how wide they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar

from sockwatch.view.fit import ELLIPSIS, Align, cell_width, fit

Row = TypeVar("Row")
SortKey: TypeAlias = tuple[int | float | str, ...]
NOTHING = "-"
MARGIN = 1  # the cursor's sign stands there
GAP = 1


def _unsorted(_row: object) -> SortKey:
    return ()


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """A field of a row: of a port, a socket, a failure.

    The functions get the row and the time of the snapshot; the order of rows does not depend on
    the time. `short` replaces a cell that does not
    fit. `mark` follows the cell and survives where the cell is cut.

    `width` is enough at 80 columns; a wider screen lets it grow up to `widest`, in proportion to
    `flex`. `at` is the least screen width, in cells, that shows the column.
    """

    key: str
    title: str
    width: int
    help: str
    cell: Callable[[Row, float], str]
    sort_key: Callable[[Row], SortKey] = _unsorted
    mark: Callable[[Row, float], str] | None = None
    short: Callable[[Row, float], str] | None = None
    at: int = 80
    align: Align = "left"
    flex: int = 0
    widest: int = 0
    largest_first: bool = False

    @property
    def is_sortable(self) -> bool:
        """Whether rows can be sorted by it."""
        return self.sort_key is not _unsorted

    def text(self, row: Row, now: float) -> str:
        """The cell and its mark, however wide."""
        return self.cell(row, now) + self._mark(row, now)

    def fitted(self, row: Row, now: float, ellipsis: str = ELLIPSIS) -> str:
        """The cell and its mark in exactly `width` cells."""
        cell, mark = self.cell(row, now), self._mark(row, now)
        if self.short is not None and cell_width(cell + mark) > self.width:
            cell = self.short(row, now)
        return fit(cell, self.width, self.align, ellipsis, mark)

    def _mark(self, row: Row, now: float) -> str:
        return self.mark(row, now) if self.mark is not None else ""


def visible(columns: Sequence[Column[Row]], width: int) -> tuple[Column[Row], ...]:
    """The columns that a screen of `width` cells shows."""
    return tuple(column for column in columns if column.at <= width)


def layout(columns: Sequence[Column[Row]], width: int) -> tuple[Column[Row], ...]:
    """`columns` with their widths set so that a line (margin, cells, gaps) takes `width`."""
    widths = [column.width for column in columns]
    spare = width - MARGIN - GAP * (len(columns) - 1) - sum(widths)
    if spare < 0:
        _shrink(columns, widths, -spare)
    else:
        _grow(columns, widths, spare)
    return tuple(replace(c, width=w) for c, w in zip(columns, widths, strict=True))


def _shrink(columns: Sequence[Column[Row]], widths: list[int], excess: int) -> None:
    for index in reversed(range(len(columns))):
        if columns[index].flex:
            cut = min(excess, widths[index] - 1)
            widths[index] -= cut
            excess -= cut


def _grow(columns: Sequence[Column[Row]], widths: list[int], spare: int) -> None:
    growing = [i for i, column in enumerate(columns) if column.widest > widths[i]]
    while spare > 0 and growing:
        for index in growing:
            more = min(spare, columns[index].flex, columns[index].widest - widths[index])
            widths[index] += more
            spare -= more
        growing = [i for i in growing if columns[i].widest > widths[i]]
    if spare > 0:
        for index in reversed(range(len(columns))):
            if columns[index].flex:
                widths[index] += spare
                break
