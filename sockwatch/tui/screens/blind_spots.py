"""What could not be seen in the latest look, and what would show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from textual.app import ComposeResult

from sockwatch.model import Gap
from sockwatch.tui.commands import BLIND_SPOTS_COMMANDS, MOVE_COMMANDS, bindings
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.watched import Watched
from sockwatch.tui.widgets.footer_bar import FooterBar
from sockwatch.tui.widgets.text_lines import TextLines

_KEY_WIDTH = 11
NO_REMEDY = "nothing would show it on this host"


class BlindSpotsScreen(BaseScreen):
    """The gaps of the screen that it was opened from, as they were then."""

    BINDINGS: ClassVar = bindings((*BLIND_SPOTS_COMMANDS, *MOVE_COMMANDS))
    COMMAND_TABLE = (*BLIND_SPOTS_COMMANDS, *MOVE_COMMANDS)
    HELP_TITLE = "Blind spots"
    has_help = False

    def __init__(self, of: BaseScreen, gaps: Iterable[Gap], symbols: Symbols) -> None:
        super().__init__(symbols)
        self._of = of
        self._lines = list(gap_lines(gaps))

    @property
    def watched(self) -> Watched | None:
        return self._of.watched

    def compose(self) -> ComposeResult:
        yield TextLines(self._lines, _KEY_WIDTH)
        yield FooterBar(BLIND_SPOTS_COMMANDS)


def gap_lines(gaps: Iterable[Gap]) -> Iterator[tuple[str, str]]:
    """What is a word before it, and a text; a heading has no text."""
    yield "sockwatch: blind spots", ""
    for gap in gaps:
        yield " ", ""
        yield "not seen", gap.text
        yield "remedy", gap.remedy or NO_REMEDY
