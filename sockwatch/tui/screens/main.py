"""The main screen: every port of the host, and a panel about the one under the cursor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult

from sockwatch.model import Snapshot
from sockwatch.tui.commands import MAIN_COMMANDS, MAIN_FOOTER, MOVE_COMMANDS, bindings
from sockwatch.tui.legend import filter_terms, port_columns, row_signs
from sockwatch.tui.messages import DetailsWanted
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.watched import Watched
from sockwatch.tui.widgets.filter_bar import FilterBar
from sockwatch.tui.widgets.footer_bar import FooterBar
from sockwatch.tui.widgets.header_bar import HeaderBar
from sockwatch.tui.widgets.panel import Panel
from sockwatch.tui.widgets.port_table import PortTable
from sockwatch.tui.widgets.status_line import StatusLine
from sockwatch.view.filter import Filter
from sockwatch.view.marks import Marks
from sockwatch.view.panel import panel
from sockwatch.view.sorting import Order, sort_ports

_PANEL_HEIGHTS = ((0, "-tiny"), (12, "-low"), (20, "-usual"), (36, "-tall"), (50, "-taller"))
_TYPING_HINT = "Enter keep  Esc clear   port: state: process: user: proto: flag:  -not"


class MainScreen(BaseScreen):
    """Keeps the filter, the order and the marks; the table only draws."""

    BINDINGS: ClassVar = bindings((*MAIN_COMMANDS, *MOVE_COMMANDS))
    COMMAND_TABLE = (*MAIN_COMMANDS, *MOVE_COMMANDS)
    HELP_TITLE = "Ports"

    def __init__(self, symbols: Symbols, watched: Watched) -> None:
        super().__init__(symbols, watched)
        self.VERTICAL_BREAKPOINTS = list(_PANEL_HEIGHTS)
        self._snapshot: Snapshot | None = None
        self._marks = Marks()
        self._order = Order()
        self._filter = Filter()

    def compose(self) -> ComposeResult:
        yield HeaderBar()
        yield PortTable()
        yield StatusLine()
        yield FilterBar()
        yield Panel()
        yield FooterBar(MAIN_FOOTER)

    def ready(self) -> None:
        self.query_one(FilterBar).display = False

    def legend(self) -> Iterator[tuple[str, str]]:
        yield from port_columns()
        yield " ", ""
        yield from row_signs(self.symbols)
        yield " ", ""
        yield from filter_terms()

    @property
    def table(self) -> PortTable:
        return self.query_one(PortTable)

    @property
    def status(self) -> StatusLine:
        return self.query_one(StatusLine)

    def show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._marks.update(snapshot)
        self.query_one(HeaderBar).show(snapshot)
        self._show_rows()

    def _show_rows(self) -> None:
        snapshot = self._snapshot
        if snapshot is None:
            return
        ports = (*snapshot.ports, *self._marks.gone)
        if self._filter.tests:
            ports = tuple(port for port in ports if self._filter.matches(port))
        ordered = sort_ports(ports, self._order, snapshot.time)
        self.table.show(ordered, self._order, snapshot.time, self._marks.of)
        self._show_selected()

    def _show_selected(self) -> None:
        table, snapshot = self.table, self._snapshot
        if snapshot is None:
            return
        port = table.row
        self.query_one(Panel).show(panel(port, snapshot) if port else self._empty(snapshot))
        left = f"{table.cursor + 1 if port else 0} of {table.total}"
        if self._filter.text.strip():
            left += f" ({len(snapshot.ports)} ports)  filter {self._filter.text.strip()}"
            if self._filter.errors:
                left += f"  ! {self._filter.errors[0].message}"
        right = (
            f"sorted by {self._order.column.title}{', reversed' if self._order.inverted else ''}"
        )
        self.status.show(left, f"following  {right}" if table.following else right)

    def _empty(self, snapshot: Snapshot) -> tuple[str, ...]:
        if snapshot.ports:
            return ("no port matches the filter", "Esc clears it")
        return ("no port is in use in this network namespace",)

    def on_scroll_lines_moved(self) -> None:
        self._show_selected()

    def on_port_table_opened(self) -> None:
        self.action_details()

    def on_port_table_head_clicked(self, event: PortTable.HeadClicked) -> None:
        self._sort(self._order.invert() if event.column == self._order.key else Order(event.column))

    def action_details(self) -> None:
        port = self.table.row
        if port is not None and self._snapshot is not None:
            assert self.watched is not None
            self.post_message(DetailsWanted(port, self._snapshot, self.watched.only(port.number)))

    def action_sort(self, by: int) -> None:
        self._sort(self._order.step(by, self.table.columns))

    def action_invert(self) -> None:
        self._sort(self._order.invert())

    def _sort(self, order: Order) -> None:
        self._order = order
        self._show_rows()
        self.table.show_cursor()
        self.table.redraw()

    def action_follow(self) -> None:
        self.table.following = not self.table.following
        self.table.show_cursor()
        self.table.redraw()
        self._show_selected()

    def action_filter(self) -> None:
        self.status.display = False
        self.query_one(FilterBar).open()
        self._show_hint()

    def action_clear_filter(self) -> None:
        bar = self.query_one(FilterBar)
        bar.box.value = ""
        self._filter = Filter()
        self._close_filter()
        self._show_rows()

    def on_filter_bar_typed(self, event: FilterBar.Typed) -> None:
        self._filter = event.parsed
        self._show_rows()
        self._show_hint()

    def on_input_bar_done(self) -> None:
        self._close_filter()

    def _close_filter(self) -> None:
        self.query_one(FilterBar).close()
        self.status.display = True
        self.query_one(FooterBar).show_hint("")
        self._show_selected()

    def _show_hint(self) -> None:
        bar = self.query_one(FilterBar)
        if not bar.display:
            return
        errors = self._filter.errors
        if errors:
            self.query_one(FooterBar).show_hint(f"! {errors[0].message}", "-bad")
        else:
            self.query_one(FooterBar).show_hint(_TYPING_HINT)
