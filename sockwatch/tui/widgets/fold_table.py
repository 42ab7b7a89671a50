"""The table of failures; those of one program on one address share a row."""

from __future__ import annotations

from collections.abc import Sequence

from sockwatch.tui.widgets.table import Table
from sockwatch.view.column import Column
from sockwatch.view.fold_columns import fold_columns_for
from sockwatch.view.folding import Fold, FoldKey


class FoldTable(Table[Fold]):
    """The cursor stays on the first row, the latest failure, until it is moved by hand."""

    @property
    def columns(self) -> tuple[Column[Fold], ...]:
        return fold_columns_for(self.size.width)

    def key(self, row: Fold) -> FoldKey:
        return row.key

    def row_style(self, row: Fold) -> str:
        return "" if row.last.explained else "-warn"

    def cell_style(self, _column: Column[Fold], _row: Fold, _text: str) -> str:
        return ""

    def show(self, folds: Sequence[Fold]) -> None:
        """Show the failures, in this order."""
        self.show_rows(folds, 0.0)  # no cell depends on the time
        self.show_cursor()
        self.redraw()
