"""Failures as they happen, and what blocked the one under the cursor."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult

from sockwatch.model import Port, Protocol, SockwatchError
from sockwatch.tui.commands import FAILURES_COMMANDS, FAILURES_FOOTER, MOVE_COMMANDS, bindings
from sockwatch.tui.failures_feed import FailuresFeed
from sockwatch.tui.legend import filter_terms
from sockwatch.tui.messages import DetailsWanted, Noticed
from sockwatch.tui.screens.filtered import FilteredScreen
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.visits import Visits
from sockwatch.tui.widgets.failures_header import FailuresHeader
from sockwatch.tui.widgets.filter_bar import FilterBar
from sockwatch.tui.widgets.fold_table import FoldTable
from sockwatch.tui.widgets.footer_bar import FooterBar
from sockwatch.tui.widgets.panel import Panel
from sockwatch.tui.widgets.status_line import StatusLine
from sockwatch.units import plural
from sockwatch.view import failures
from sockwatch.view.fold_columns import FOLD_COLUMNS
from sockwatch.view.fold_filter import FOLD_LANGUAGE
from sockwatch.view.fold_lines import fold_lines
from sockwatch.view.folding import Fold

_WATCHING = "watching: all system calls take 0.1 us more"


class FailuresScreen(FilteredScreen[Fold]):
    """The newest first; repeats by one program on one address share a row."""

    BINDINGS: ClassVar = bindings((*FAILURES_COMMANDS, *MOVE_COMMANDS))
    COMMAND_TABLE = (*FAILURES_COMMANDS, *MOVE_COMMANDS)
    HELP_TITLE = "Failures"
    LANGUAGE = FOLD_LANGUAGE
    wants_failures = True

    def __init__(self, symbols: Symbols) -> None:
        super().__init__(symbols)
        self._folds: tuple[Fold, ...] = ()
        self._visits = Visits()
        self._refused = ""
        self._attached = False
        self._lost = 0

    def compose(self) -> ComposeResult:
        yield FailuresHeader()
        yield FoldTable()
        yield StatusLine()
        yield FilterBar(FOLD_LANGUAGE)
        yield Panel()
        yield FooterBar(FAILURES_FOOTER)

    def ready(self) -> None:
        super().ready()
        self._show_selected()

    def on_unmount(self) -> None:
        self._visits.close()

    def legend(self) -> Iterator[tuple[str, str]]:
        yield "Columns", ""
        yield from ((column.title, column.help) for column in FOLD_COLUMNS)
        yield " ", ""
        yield from filter_terms(FOLD_LANGUAGE)

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
            self._folds = feed.seen.folds
        self.filter_changed()

    def filter_changed(self) -> None:
        self.table.show([fold for fold in self._folds if self.filter.matches(fold)])
        self._show_selected()

    def _show_selected(self) -> None:
        fold = self.table.row
        lines = fold_lines(fold, self._visits.home_inode) if fold else self._empty()
        self.query_one(Panel).show_text(*lines)
        self.query_one(FailuresHeader).show_state(
            "not watching" if self._refused else _WATCHING if self._attached else "starting"
        )
        count = sum(row.count for row in self.table.rows)
        left = f"{self.table.cursor + 1 if fold else 0} of {self.table.total}"
        if words := self.filter_text():
            left += f" ({plural(len(self._folds), 'row')}){words}"
        if self._lost:
            left += f"  ! {self._lost} more were lost: they came too fast"
        self.query_one(StatusLine).show(left, plural(count, "failure"))

    def _empty(self) -> tuple[str, ...]:
        if self._folds:
            return ("no failure matches the filter", "Esc clears it")
        if self._refused:
            return ("there is nothing to show", self._refused)
        where = "every process and network namespace of this host"
        return (
            "no call has failed yet",
            f"bind() and listen() that fail appear here, from {where}",
        )

    def on_scroll_lines_moved(self) -> None:
        self._show_selected()

    def action_details(self) -> None:
        fold = self.table.row
        if fold is None:
            return
        if why := failures.no_port(fold.last.failure):
            self.post_message(Noticed(why))
        else:
            self.run_worker(self._visit(fold), exclusive=True)

    async def _visit(self, fold: Fold) -> None:
        """Open the port of the failure, where its network namespace can still be looked at."""
        failure = fold.last.failure
        inode, number = failure.netns_inode, failure.port
        assert inode is not None
        assert number is not None
        protocol: Protocol = "tcp" if failure.protocol == "tcp" else "udp"
        pids = (pid for pid in (failure.tid, failure.pid) if pid)
        watched = self._visits.watched(inode, pids, number)
        try:
            snapshot = await asyncio.to_thread(watched.take, number)
        except SockwatchError as error:
            self.post_message(Noticed(str(error)))
            return
        if self.is_current:
            port = snapshot.port(protocol, number) or Port(protocol, number, {})
            self.post_message(DetailsWanted(port, snapshot, watched, fold.last.request))

    def action_copy(self) -> None:
        fold = self.table.row
        command = fold.last.fixes[0].command if fold and fold.last.fixes else None
        if command:
            self.copy(command, "the command")
        else:
            self.copy(self.table.row_text(), "the row")

    async def action_back(self) -> None:
        """Clear the filter if there is one, else leave the screen."""
        if self.is_filtered:
            self.action_clear_filter()
        else:
            await self.run_action("app.leave_screen")
