"""A screen whose rows are filtered by a line that opens in place of the status line."""

from __future__ import annotations

import time
from typing import Any, ClassVar, Final, Generic

from textual.timer import Timer

from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.watched import Watched
from sockwatch.tui.widgets.filter_bar import FilterBar
from sockwatch.tui.widgets.footer_bar import FooterBar
from sockwatch.tui.widgets.status_line import StatusLine
from sockwatch.view.column import Row
from sockwatch.view.filter_language import Filter, FilterLanguage
from sockwatch.view.fit import cell_width

# A key that takes longer than this is felt: then rows are filtered once typing pauses.
FELT_S: Final = 0.05


class FilteredScreen(BaseScreen, Generic[Row]):
    """A subclass composes FilterBar(LANGUAGE), and shows the rows that match `filter`."""

    LANGUAGE: ClassVar[FilterLanguage[Any]]

    def __init__(
        self, symbols: Symbols, watched: Watched | None = None, *, offers_acts: bool = True
    ) -> None:
        super().__init__(symbols, watched, offers_acts=offers_acts)
        self.filter: Filter[Row] = Filter()
        self._took_s = 0.0  # to show the rows of the last filter
        self._pause: Timer | None = None

    def filter_changed(self) -> None:
        """Show the rows that match now."""
        raise NotImplementedError

    def ready(self) -> None:
        self.query_one(FilterBar).display = False

    @property
    def is_filtered(self) -> bool:
        """Whether a filter is set or being typed."""
        return bool(self.filter.text) or self.query_one(FilterBar).display

    def filter_text(self) -> str:
        """The filter and what is wrong with it, for the status line; empty without one."""
        if not self.filter.text.strip():
            return ""
        wrong = f"  ! {self.filter.errors[0].message}" if self.filter.errors else ""
        return f"  filter {self.filter.text.strip()}{wrong}"

    def action_filter(self) -> None:
        self.query_one(StatusLine).display = False
        self.query_one(FilterBar).open()
        self._show_hint()

    def action_clear_filter(self) -> None:
        self.query_one(FilterBar).box.value = ""
        self._close_filter()
        self.filter = Filter()
        self._apply_filter()

    def on_filter_bar_typed(self, event: FilterBar.Typed) -> None:
        self.filter = event.parsed
        if self._took_s < FELT_S:
            self._apply_filter()
        else:
            self._stop_pause()
            self._pause = self.set_timer(self._took_s, self._apply_filter)
        self._show_hint()

    def on_input_bar_done(self) -> None:
        if self._pause is not None:
            self._apply_filter()
        self._close_filter()

    def _apply_filter(self) -> None:
        self._stop_pause()
        started = time.monotonic()
        self.filter_changed()
        self._took_s = time.monotonic() - started

    def _stop_pause(self) -> None:
        if self._pause is not None:
            self._pause.stop()
            self._pause = None

    def _close_filter(self) -> None:
        self.query_one(FilterBar).close()
        self.query_one(StatusLine).display = True
        self.query_one(FooterBar).show_hint("")

    def _show_hint(self) -> None:
        if not self.query_one(FilterBar).display:
            return
        footer, errors = self.query_one(FooterBar), self.filter.errors
        if errors:
            footer.show_hint(f"! {errors[0].message}", "-bad")
        else:
            footer.show_hint(self._terms("Enter keep  Esc clear  -not"))

    def _terms(self, text: str) -> str:
        """The terms of the language behind the text, as many as there is room for."""
        for name in self.LANGUAGE.terms:
            if cell_width(f" {text} {name}:") > self.size.width:
                break
            text += f" {name}:"
        return text
