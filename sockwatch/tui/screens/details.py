"""One port: its listeners with all their holders, and every socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult

from sockwatch.bind import BindRequest
from sockwatch.model import Port, Snapshot, SockwatchError
from sockwatch.tui.commands import DETAILS_COMMANDS, DETAILS_FOOTER, MOVE_COMMANDS, bindings
from sockwatch.tui.legend import socket_columns
from sockwatch.tui.messages import ActsWanted, Noticed
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.watched import Watched
from sockwatch.tui.widgets.footer_bar import FooterBar
from sockwatch.tui.widgets.header_bar import HeaderBar
from sockwatch.tui.widgets.request_bar import RequestBar
from sockwatch.tui.widgets.socket_list import SocketList
from sockwatch.tui.widgets.status_line import StatusLine
from sockwatch.view.answer import new_request
from sockwatch.view.code_lines import LANGUAGES
from sockwatch.view.look import Look
from sockwatch.view.request import HELP, parse_request, request_text

HINT = f"Enter keep  Esc undo   {HELP}"


class DetailsScreen(BaseScreen):
    """Opens with the snapshot of the table; from then on only this port is polled."""

    BINDINGS: ClassVar = bindings((*DETAILS_COMMANDS, *MOVE_COMMANDS))
    COMMAND_TABLE = (*DETAILS_COMMANDS, *MOVE_COMMANDS)
    HELP_TITLE = "Port details"

    def __init__(
        self,
        port: Port,
        snapshot: Snapshot,
        symbols: Symbols,
        watched: Watched,
        request: BindRequest | None = None,
        *,
        offers_acts: bool = True,
    ) -> None:
        super().__init__(symbols, watched, offers_acts=offers_acts)
        self._is_outside = watched.is_outside
        self._asked = request
        self._port = port
        self._first = snapshot
        self._request: BindRequest | None = None
        self._latest = snapshot
        self._language: str | None = None  # the server's own

    def legend(self) -> Iterator[tuple[str, str]]:
        yield from socket_columns()

    def compose(self) -> ComposeResult:
        yield HeaderBar()
        yield SocketList()
        yield StatusLine()
        yield RequestBar()
        yield FooterBar(self.offered(DETAILS_FOOTER))

    def ready(self) -> None:
        self.query_one(RequestBar).display = False
        self.show(self._first)

    @property
    def list(self) -> SocketList:
        return self.query_one(SocketList)

    @property
    def subject(self) -> str:
        return f"{self._port.number}/{self._port.protocol}"

    def show(self, snapshot: Snapshot) -> None:
        self._port = snapshot.port(*self._port.key) or self._port
        self._latest = snapshot
        self.query_one(HeaderBar).show(Look.of(snapshot), self.subject)
        self.list.show(self.request, snapshot, self._language, is_outside=self._is_outside)
        self._show_place()

    @property
    def request(self) -> BindRequest:
        """The bind in question: as typed, else as asked for, else a restart of the server."""
        return self._request or self._asked or new_request(self._port)

    def _show_place(self) -> None:
        self.query_one(StatusLine).show(self.list.place)

    def on_scroll_lines_moved(self) -> None:
        self._show_place()

    def action_language(self) -> None:
        place = LANGUAGES.index(self._language) if self._language else -1
        self._language = LANGUAGES[(place + 1) % len(LANGUAGES)]
        self.show(self._latest)
        self.post_message(Noticed(f"code in {self._language}"))

    def action_acts(self) -> None:
        assert self.watched is not None
        request = self._request or self._asked
        self.post_message(ActsWanted(self._port, self._latest, self.watched, request))

    def action_edit(self) -> None:
        bar = self.query_one(RequestBar)
        if not bar.display:
            self.query_one(StatusLine).display = False
            bar.box.value = request_text(self.request)
            bar.open()
            bar.box.cursor_position = len(bar.box.value)
            self.query_one(FooterBar).show_hint(HINT)

    def on_request_bar_typed(self, event: RequestBar.Typed) -> None:
        if not self.query_one(RequestBar).display:
            return
        try:
            self._request = parse_request(event.text, self._port.protocol, self._port.number)
        except SockwatchError as error:
            self.query_one(FooterBar).show_hint(f"! {error}", "-bad")
            return
        self.query_one(FooterBar).show_hint(HINT)
        self.show(self._latest)

    def on_input_bar_done(self) -> None:
        self._close_bar()

    async def action_back(self) -> None:
        """Close the line if one is open, else leave the screen."""
        if self.query_one(RequestBar).display:
            self._request = None
            self._close_bar()
            self.show(self._latest)
        else:
            await self.run_action("app.leave_screen")

    def _close_bar(self) -> None:
        self.query_one(RequestBar).close()
        self.query_one(StatusLine).display = True
        self.query_one(FooterBar).show_hint("")
