"""A table: rows of one kind under the titles of their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

from sockwatch.tui.widgets.lines import Line
from sockwatch.tui.widgets.scroll_lines import ScrollLines
from sockwatch.view.column import NOTHING, Column, Row
from sockwatch.view.fit import fit

_SAYS_NOTHING = ("0", NOTHING, "??")


class Table(ScrollLines, Generic[Row]):
    """The cursor stays on its row, identified by the row's key, wherever the rows move.

    A subclass gives the columns and the key, and may style rows and cells.
    """

    pinned = 1

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self.rows: Sequence[Row] = ()
        self.now = 0.0  # the time of the snapshot that the rows are from
        self._cursor_key: object = None  # None until there is a row

    @property
    def columns(self) -> tuple[Column[Row], ...]:
        """The columns as they are laid out at this width."""
        raise NotImplementedError

    def key(self, row: Row) -> object:
        """Identifies the row, in this snapshot and the next."""
        raise NotImplementedError

    def row_style(self, _row: Row) -> str:
        """The style of a whole row that is not under the cursor."""
        return ""

    def cell_style(self, _column: Column[Row], _row: Row, text: str) -> str:
        """The style of a cell of a row that has none itself."""
        return "-dim" if text in _SAYS_NOTHING else ""

    def sign(self, _row: Row, *, selected: bool) -> str:
        """The character before a row."""
        return self.symbols.cursor if selected else " "

    @property
    def total(self) -> int:
        return len(self.rows)

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if self.rows else None

    def show_rows(self, rows: Sequence[Row], now: float) -> None:
        """Replace the rows; the cursor goes where its row is."""
        self.rows, self.now = rows, now
        self.cursor = self._find_cursor()

    def _find_cursor(self) -> int:
        wanted, here = self._cursor_key, self.cursor
        if wanted is not None:
            if here < len(self.rows) and self.key(self.rows[here]) == wanted:
                return here
            for index, row in enumerate(self.rows):
                if self.key(row) == wanted:
                    return index
        return max(0, min(here, len(self.rows) - 1))

    def keep_row(self) -> None:
        """Let the cursor stay on the row that is under it now."""
        self._cursor_key = None if self.row is None else self.key(self.row)

    def selected(self) -> None:
        self.keep_row()
        super().selected()

    def head(self, _y: int) -> Line:
        titles = " ".join(fit(c.title, c.width, c.align, "") for c in self.columns)
        return ((f" {titles}", "-head"),)

    def item(self, index: int, *, selected: bool) -> Line:
        row = self.rows[index]
        base = self.base_style(selected=selected) or self.row_style(row)
        pieces = [(self.sign(row, selected=selected), base)]
        for column in self.columns:
            cell = column.fitted(row, self.now, self.symbols.ellipsis)
            style = base or self.cell_style(column, row, cell.strip())
            pieces.append((f"{cell} ", style))
        return tuple(pieces)

    def row_text(self) -> str:
        """The row under the cursor as text for the clipboard: the visible columns, uncut."""
        row = self.row
        if row is None:
            return ""
        return "\t".join(column.text(row, self.now) for column in self.columns)
