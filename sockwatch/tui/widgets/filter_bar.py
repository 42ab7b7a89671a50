"""The line for the filter. Wrong terms are underlined as they are typed."""

from __future__ import annotations

from rich.highlighter import Highlighter
from rich.text import Text
from textual.message import Message

from sockwatch.tui.widgets.input_bar import InputBar
from sockwatch.view.filter import Filter, parse_filter

WRONG = "underline bold red"


class _WrongTerms(Highlighter):
    def highlight(self, text: Text) -> None:
        for start, end, _ in parse_filter(text.plain).errors:
            text.stylize(WRONG, start, end)


class FilterBar(InputBar):
    """Posts each new filter as it is typed."""

    LABEL = "/"

    class Typed(Message):
        """The filter after a change."""

        def __init__(self, parsed: Filter) -> None:
            super().__init__()
            self.parsed = parsed

    def __init__(self) -> None:
        super().__init__(_WrongTerms())

    def typed(self, text: str) -> None:
        self.post_message(self.Typed(parse_filter(text)))
