"""The screens that are open, and what each of them shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from textual.screen import Screen

from sockwatch.tui.failures_feed import FailuresFeed
from sockwatch.tui.messages import Polled
from sockwatch.tui.pace import Pace
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.watched import Watched

NOTICE_S: Final = 3.0


class OpenScreens:
    """`stack` returns textual's stack of screens, the one in front last; `clock` gives seconds."""

    def __init__(
        self, stack: Callable[[], Sequence[Screen[Any]]], pace: Pace, clock: Callable[[], float]
    ) -> None:
        self._stack = stack
        self._pace = pace
        self._clock = clock
        self._notice_until = 0.0
        self._waiting = ""

    @property
    def front(self) -> BaseScreen:
        """The screen in front, or the one behind a dialog of textual's own."""
        return next(s for s in reversed(self._stack()) if isinstance(s, BaseScreen))

    def drawable(self) -> list[BaseScreen]:
        """Those whose widgets are mounted."""
        return [s for s in self._stack() if isinstance(s, BaseScreen) and s.drawable]

    def watching(self, watched: Watched) -> list[BaseScreen]:
        """Those that show snapshots of `watched`."""
        return [screen for screen in self.drawable() if screen.watched == watched]

    def show(self, polled: Polled) -> None:
        """Show a snapshot; while paused, only on a screen that has shown none."""
        for screen in self.watching(polled.watched):
            if self._may_change(screen):
                screen.fresh = False
                screen.show_polled(polled)

    def show_failures(self, feed: FailuresFeed) -> bool:
        """Show the failures so far; returns whether a screen for them is open."""
        screens = [screen for screen in self.drawable() if screen.wants_failures]
        for screen in screens:
            if self._may_change(screen):
                screen.show_failures(feed)
        return bool(screens)

    def _may_change(self, screen: BaseScreen) -> bool:
        return screen.fresh or not (screen.freezes and self._pace.paused)

    def show_notice(self, text: str, for_s: float = NOTICE_S) -> None:
        """Show a short message on the screen in front for a moment."""
        self._notice_until = self._clock() + for_s
        self.front.show_notice(text)

    def show_waiting(self, text: str) -> None:
        """Show on every screen what port is waited for; empty for none."""
        self._waiting = text
        self.tick()

    def tick(self) -> None:
        """Show what changes with time; where nothing did, nothing is sent to the terminal."""
        screens = self.drawable()
        if self._notice_until and self._clock() >= self._notice_until and screens:
            self._notice_until = 0.0
            for screen in screens:  # the notice may be on one that is no longer in front
                screen.show_notice("")
        text, style = self._pace.text()
        for screen in screens:
            screen.show_pace(text, style)
            screen.show_waiting(self._waiting)
