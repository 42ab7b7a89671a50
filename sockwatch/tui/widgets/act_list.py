"""What can be done with a port, an act a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from textual import events
from textual.message import Message

from sockwatch.tui.widgets.box import BoxedLines
from sockwatch.tui.widgets.lines import Line
from sockwatch.view.acts import Act
from sockwatch.view.fit import cell_width, fit

_NAME_WIDTH: Final = 13


class ActList(BoxedLines):
    """The cursor stays on its act, or on the first one until it is moved by hand."""

    class Chosen(Message):
        """A click on the act that was under the cursor before."""

    def __init__(self) -> None:
        super().__init__()
        self._acts: Sequence[Act] = ()
        self._key: object = None  # of the act that the cursor was put on by hand

    def show(self, title: str, acts: Sequence[Act]) -> None:
        self.title, self._acts = title, acts
        keys = [act.key for act in acts]
        self.cursor = keys.index(self._key) if self._key in keys else 0
        self.fit()
        self.show_cursor()
        self.redraw()

    @property
    def act(self) -> Act | None:
        """The act under the cursor; None if there is none."""
        return self._acts[self.cursor] if self._acts else None

    def is_cut(self, act: Act) -> bool:
        """Whether there is no room for its whole text."""
        return cell_width(act.text) > self.size.width - _NAME_WIDTH - 2

    @property
    def total(self) -> int:
        return len(self._acts)

    def selected(self) -> None:
        self._key = self.act.key if self.act else None
        super().selected()

    def item(self, index: int, *, selected: bool) -> Line:
        act = self._acts[index]
        base = self.base_style(selected=selected)
        name = f"{self.symbols.cursor if selected else ' '} {fit(act.id, _NAME_WIDTH)}"
        room = self.size.width - _NAME_WIDTH - 2
        text = fit(act.text, room, ellipsis=self.symbols.ellipsis)
        return ((name, base or "-key"), (text, base))

    def on_click(self, event: events.Click) -> None:
        was = self.cursor
        super().on_click(event)
        if self.top + event.y - self.pinned == was:
            self.post_message(self.Chosen())
