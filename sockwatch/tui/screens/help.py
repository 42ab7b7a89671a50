"""What the keys, columns, signs and filter terms mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sockwatch.tui.commands import APP_COMMANDS, HELP_COMMANDS, HELP_FOOTER, MOVE_COMMANDS, bindings
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.widgets.footer_bar import FooterBar
from sockwatch.tui.widgets.text_lines import TextLines
from sockwatch.view.columns import COLUMNS
from sockwatch.view.filter import FREE_TEXT_HELP, NEGATION_HELP, TERMS
from sockwatch.view.socket_columns import SOCKET_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.app import ComposeResult

    from sockwatch.tui.commands import Command
    from sockwatch.tui.symbols import Symbols

_KEY_WIDTH = 17


class HelpScreen(BaseScreen):
    """The help of the screen it was opened from."""

    BINDINGS: ClassVar = bindings((*HELP_COMMANDS, *MOVE_COMMANDS))
    COMMAND_TABLE = (*HELP_COMMANDS, *MOVE_COMMANDS)
    HELP_TITLE = "Help"

    def __init__(self, of: BaseScreen, symbols: Symbols) -> None:
        super().__init__(symbols)
        self.watched_port = of.watched_port
        self._lines = list(help_lines(of, symbols))

    def compose(self) -> ComposeResult:
        yield TextLines(self._lines, _KEY_WIDTH)
        yield FooterBar(HELP_FOOTER)


def help_lines(screen: BaseScreen, symbols: Symbols) -> Iterator[tuple[str, str]]:
    """Key and text; a heading has no text."""
    yield f"sockwatch: {screen.HELP_TITLE}", ""
    yield from _keys(screen.COMMAND_TABLE)
    yield " ", ""
    yield "On every screen", ""
    yield from _keys(APP_COMMANDS)
    yield " ", ""
    if screen.watched_port is not None:
        yield "Columns", ""
        yield from ((column.title, column.help) for column in SOCKET_COLUMNS)
        return
    yield "Columns", ""
    for column in COLUMNS:
        wide = f" (from {column.at} columns)" if column.at > 80 else ""
        yield column.title, column.help + wide
    yield " ", ""
    yield "Signs before a row", ""
    yield symbols.cursor, "the cursor"
    yield symbols.new, "this port is new"
    yield symbols.gone, "this port has just gone"
    yield " ", ""
    yield "Filter", ""
    yield "text", FREE_TEXT_HELP
    for name, term in TERMS.items():
        yield f"{name}:", f"{term.help}: {term.example}"
    yield "-term !term", NEGATION_HELP


def _keys(commands: tuple[Command, ...]) -> Iterator[tuple[str, str]]:
    for command in commands:
        yield " ".join(command.key_names), command.help
