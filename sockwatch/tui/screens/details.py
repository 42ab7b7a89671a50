"""One port: its listeners with all their holders, and every socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sockwatch.tui.commands import DETAILS_COMMANDS, DETAILS_FOOTER, MOVE_COMMANDS, bindings
from sockwatch.tui.messages import Copied
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.widgets.footer_bar import FooterBar
from sockwatch.tui.widgets.header_bar import HeaderBar
from sockwatch.tui.widgets.socket_list import SocketList
from sockwatch.tui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from sockwatch.model import Port, Snapshot
    from sockwatch.tui.symbols import Symbols


class DetailsScreen(BaseScreen):
    """Opens with what the table knew, and goes on with looks at this port alone."""

    BINDINGS: ClassVar = bindings((*DETAILS_COMMANDS, *MOVE_COMMANDS))
    COMMAND_TABLE = (*DETAILS_COMMANDS, *MOVE_COMMANDS)
    HELP_TITLE = "Port details"

    def __init__(self, port: Port, snapshot: Snapshot, symbols: Symbols) -> None:
        super().__init__(symbols)
        self._port = port
        self._first = snapshot
        self.watched_port = port.number

    def compose(self) -> ComposeResult:
        yield HeaderBar()
        yield SocketList()
        yield StatusLine()
        yield FooterBar(DETAILS_FOOTER)

    def ready(self) -> None:
        self._show(self._port, self._first)

    @property
    def list(self) -> SocketList:
        return self.query_one(SocketList)

    @property
    def subject(self) -> str:
        return f"{self._port.number}/{self._port.protocol}"

    def show(self, snapshot: Snapshot) -> None:
        port = snapshot.port(*self._port.key)
        if port is None:
            self.query_one(HeaderBar).show(snapshot, self.subject)
            self.list.show_text(f"{self.subject}  no socket is on this port any more")
            self._show_place()
        else:
            self._show(port, snapshot)

    def _show(self, port: Port, snapshot: Snapshot) -> None:
        self.query_one(HeaderBar).show(snapshot, self.subject)
        self.list.show(port, snapshot)
        self._show_place()

    def _show_place(self) -> None:
        self.query_one(StatusLine).show(self.list.place)

    def show_pace(self, text: str, style: str) -> None:
        self.query_one(HeaderBar).show_pace(text, style)

    def show_notice(self, text: str) -> None:
        self.query_one(StatusLine).show_notice(text)

    def show_error(self, text: str) -> None:
        self.query_one(StatusLine).show_error(text)

    def on_scroll_lines_moved(self) -> None:
        self._show_place()

    def action_copy(self) -> None:
        text = self.list.row_text()
        if text:
            self.app.copy_to_clipboard(text)
            self.app.post_message(Copied(text))
