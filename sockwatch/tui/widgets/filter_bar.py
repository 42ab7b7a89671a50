"""The line for the filter. Wrong terms are underlined as they are typed."""

from __future__ import annotations

from typing import Any

from rich.highlighter import Highlighter
from rich.text import Text
from textual.message import Message

from sockwatch.kernel.services import known_services
from sockwatch.tui.widgets.input_bar import InputBar
from sockwatch.view.filter_language import Filter, FilterLanguage

WRONG = "underline bold"


class _WrongTerms(Highlighter):
    def __init__(self, language: FilterLanguage[Any]) -> None:
        self._language = language

    def highlight(self, text: Text) -> None:
        for start, end, _ in self._language.parse(text.plain, known_services()).errors:
            text.stylize(WRONG, start, end)


class FilterBar(InputBar):
    """Posts each new filter as it is typed."""

    LABEL = "/"

    class Typed(Message):
        """The filter after a change."""

        def __init__(self, parsed: Filter[Any]) -> None:
            super().__init__()
            self.parsed = parsed

    def __init__(self, language: FilterLanguage[Any]) -> None:
        super().__init__(_WrongTerms(language))
        self._language = language

    def typed(self, text: str) -> None:
        self.post_message(self.Typed(self._language.parse(text, known_services())))
