"""What the keys, columns, signs and filter terms mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult

from sockwatch.lab.languages.translation import Translation
from sockwatch.tui.commands import (
    APP_COMMANDS,
    HELP_COMMANDS,
    HELP_FOOTER,
    MOVE_COMMANDS,
    Command,
    bindings,
)
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.watched import Watched
from sockwatch.tui.widgets.footer_bar import FooterBar
from sockwatch.tui.widgets.text_lines import TextLines

_KEY_WIDTH = 17


class HelpScreen(BaseScreen):
    """The help of the screen it was opened from."""

    BINDINGS: ClassVar = bindings((*HELP_COMMANDS, *MOVE_COMMANDS))
    COMMAND_TABLE = (*HELP_COMMANDS, *MOVE_COMMANDS)
    HELP_TITLE = "Help"
    has_help = False

    def __init__(self, of: BaseScreen, symbols: Symbols) -> None:
        super().__init__(symbols)
        self._of = of
        self._lines = list(help_lines(of))

    @property
    def watched(self) -> Watched | None:
        return self._of.watched

    def compose(self) -> ComposeResult:
        yield TextLines(self._lines, _KEY_WIDTH)
        footer = FooterBar(HELP_FOOTER)
        footer.say = self._of.say
        yield footer


def help_lines(screen: BaseScreen) -> Iterator[tuple[str, str]]:
    """Key and text; a heading has no text."""
    say = screen.say
    yield f"sockwatch: {say(screen.HELP_TITLE)}", ""
    yield from _keys(screen.commands, say)
    yield " ", ""
    yield say("On every screen"), ""
    yield from _keys(APP_COMMANDS, say)
    yield " ", ""
    for sign, meaning in screen.legend():
        yield (sign, say(meaning)) if meaning else (say(sign), "")


def _keys(commands: tuple[Command, ...], say: Translation) -> Iterator[tuple[str, str]]:
    for command in commands:
        yield " ".join(command.key_names), say(command.help)
