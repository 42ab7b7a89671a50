"""Widgets drawn line by line that send to the terminal only what changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, TypeAlias

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from sockwatch.tui.symbols import UNICODE, Symbols
from sockwatch.view.lines import Kind

# Pieces of text, each with the name of a component class (or "" for the widget's own style).
Line: TypeAlias = "tuple[tuple[str, str], ...]"


# How a line of each kind is drawn; one that is not named has the style of its widget.
KIND_STYLES: Final[dict[Kind, str]] = {
    "title": "-title",
    "section": "-head",
    "warning": "-warn",
    "call": "-dim",
    "good": "-good",
    "bad": "-bad",
}


class LineWidget(Widget, can_focus=False):
    """A subclass says what is on each line; `redraw` compares that with what is shown."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "-title", "-head", "-sort", "-dim", "-key", "-good", "-warn", "-bad", "-select", "-new",
    }  # fmt: skip
    symbols: Symbols = UNICODE

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - textual's name
        super().__init__(id=id)
        self._shown: dict[int, Strip] = {}

    def line(self, y: int) -> Line:
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        strip = self._strip(y, {})
        self._shown[y] = strip
        return strip.simplify()

    def redraw(self) -> None:
        """Draw what has changed; an unchanged line sends nothing to the terminal."""
        styles: dict[str, Style] = {}
        for y in range(self.size.height):
            old = self._shown.get(y)
            if old is None:
                self.refresh(Region(0, y, self.size.width, 1))
                continue
            new = self._strip(y, styles)
            if new != old:
                start, end = _changed(old, new)
                self.refresh(Region(start, y, end - start, 1))

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._shown.clear()

    def _strip(self, y: int, styles: dict[str, Style]) -> Strip:
        """The line; `styles` keeps those of one pass, since computing one asks every ancestor."""
        if "" not in styles:
            styles[""] = self.rich_style
        segments = []
        for text, name in self.line(y):
            if name not in styles:
                styles[name] = self.get_component_rich_style(name)
            segments.append(Segment(self.symbols.text(text), styles[name]))
        return Strip(segments).adjust_cell_length(self.size.width, styles[""])


def _changed(old: Strip, new: Strip) -> tuple[int, int]:
    """The cells from the first to the last segment that differs."""
    before, after = list(old), list(new)
    start = _alike(before, after)
    return start, max(new.cell_length - _alike(before[::-1], after[::-1]), start + 1)


def _alike(first: Sequence[Segment], second: Sequence[Segment]) -> int:
    cells = 0
    for segment, other in zip(first, second, strict=False):
        if segment != other:
            break
        cells += segment.cell_length
    return cells
