"""Failures as they happen, and what blocked the one under the cursor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult

from sockwatch.tui.commands import FAILURES_COMMANDS, FAILURES_FOOTER, MOVE_COMMANDS, bindings
from sockwatch.tui.failures_feed import FailuresFeed
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.widgets.failures_header import FailuresHeader
from sockwatch.tui.widgets.fold_table import FoldTable
from sockwatch.tui.widgets.footer_bar import FooterBar
from sockwatch.tui.widgets.panel import Panel
from sockwatch.tui.widgets.status_line import StatusLine
from sockwatch.units import plural
from sockwatch.view.fold_columns import FOLD_COLUMNS
from sockwatch.view.fold_lines import fold_lines

_ERRNOS = "EADDRINUSE, EACCES or EADDRNOTAVAIL"
_WATCHING = "watching: each system call on the host costs 0.1 us more"


class FailuresScreen(BaseScreen):
    """The newest first; repeats by one program on one address share a row."""

    BINDINGS: ClassVar = bindings((*FAILURES_COMMANDS, *MOVE_COMMANDS))
    COMMAND_TABLE = (*FAILURES_COMMANDS, *MOVE_COMMANDS)
    HELP_TITLE = "Failures"
    wants_failures = True

    def __init__(self, symbols: Symbols) -> None:
        super().__init__(symbols)
        self._refused = ""
        self._attached = False
        self._lost = 0

    def compose(self) -> ComposeResult:
        yield FailuresHeader()
        yield FoldTable()
        yield StatusLine()
        yield Panel()
        yield FooterBar(FAILURES_FOOTER)

    def ready(self) -> None:
        self._show_selected()

    def legend(self) -> Iterator[tuple[str, str]]:
        yield "Columns", ""
        yield from ((column.title, column.help) for column in FOLD_COLUMNS)

    @property
    def table(self) -> FoldTable:
        return self.query_one(FoldTable)

    def show_failures(self, feed: FailuresFeed) -> None:
        """Show what was seen so far, or why there is nothing to show."""
        if feed.refused is None and feed.seen is None:
            return
        self.fresh = False
        self._refused = feed.refused.text if feed.refused else ""
        if feed.seen is not None:
            self._attached, self._lost = not self._refused, feed.seen.lost
            self.table.show(feed.seen.folds)
        self._show_selected()

    def _show_selected(self) -> None:
        fold = self.table.row
        self.query_one(Panel).show(tuple(fold_lines(fold)) if fold else self._empty())
        self.query_one(FailuresHeader).show_state(
            "not watching" if self._refused else _WATCHING if self._attached else "starting"
        )
        count = sum(row.count for row in self.table.rows)
        left = f"{self.table.cursor + 1 if fold else 0} of {self.table.total}"
        if self._lost:
            left += f"  ! {self._lost} more were lost: they came too fast"
        self.query_one(StatusLine).show(left, plural(count, "failure"))

    def _empty(self) -> tuple[str, ...]:
        if self._refused:
            return ("there is nothing to show", self._refused)
        where = "every process and network namespace of this host"
        return (
            "no call has failed yet",
            f"bind() and listen() that fail with {_ERRNOS} appear here, from {where}",
        )

    def on_scroll_lines_moved(self) -> None:
        self._show_selected()
