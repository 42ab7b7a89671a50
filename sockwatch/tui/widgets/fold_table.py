"""The table of failures, those of one program on one address in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sockwatch.tui.widgets.scroll_lines import ScrollLines
from sockwatch.view.fold_lines import FOLD_COLUMNS, fold_cells, fold_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sockwatch.tui.widgets.lines import Line
    from sockwatch.view.folding import Fold, FoldKey


class FoldTable(ScrollLines):
    """The cursor stays on its row where the others move, once it was moved by hand."""

    pinned = 1

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self.folds: Sequence[Fold] = ()
        self._key: FoldKey | None = None

    @property
    def total(self) -> int:
        return len(self.folds)

    @property
    def fold(self) -> Fold | None:
        """The row under the cursor."""
        return self.folds[self.cursor] if self.folds else None

    def show(self, folds: Sequence[Fold]) -> None:
        self.folds = folds
        found = [place for place, each in enumerate(folds) if each.key == self._key]
        self.cursor = found[0] if found else min(self.cursor, max(0, len(folds) - 1))
        self.show_cursor()
        self.redraw()

    def selected(self) -> None:
        self._key = self.fold.key if self.fold else None
        super().selected()

    def head(self, _y: int) -> Line:
        titles = tuple(column.title for column in FOLD_COLUMNS)
        return ((" ", "-head"), (fold_row(titles, self.size.width, ""), "-head"))

    def item(self, index: int, *, selected: bool) -> Line:
        fold = self.folds[index]
        base = "-select" if selected else "" if fold.last.explained else "-warn"
        sign = self.symbols.cursor if selected else " "
        row = fold_row(fold_cells(fold), self.size.width, self.symbols.ellipsis)
        return ((sign, base), (row, base))

    def row_text(self) -> str:
        """The row under the cursor as text for the clipboard."""
        return "\t".join(fold_cells(self.fold)) if self.fold else ""
