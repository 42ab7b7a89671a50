"""The scenarios, each with how it went, and free play."""

from __future__ import annotations

from typing import Final, NamedTuple

from sockwatch.lab.languages.translation import Translation
from sockwatch.tui.lab.state import LabState
from sockwatch.tui.widgets.lines import Line
from sockwatch.tui.widgets.scroll_lines import ScrollLines
from sockwatch.view.fit import fit

_MARK_WIDTH: Final = 5
_STYLES: Final = {"ok": "-good", "FAIL": "-bad", "skip": "-warn", "-": "-dim"}
MARKS: Final = ("ok", "FAIL", "skip", "runs")


class ScenarioRow(NamedTuple):
    """`mark` is how it went, in a word, and `style` how that is drawn."""

    number: str
    name: str
    mark: str
    style: str


class ScenarioList(ScrollLines):
    """A line for each scenario, after one for free play."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[ScenarioRow] = []

    def show(self, state: LabState, say: Translation) -> None:
        self._rows = []
        for one in state.scenarios:
            mark = state.mark(one)
            number, name = ("", say("free play")) if one is None else (str(one.number), one.name)
            self._rows.append(ScenarioRow(number, name, say(mark), _STYLES.get(mark, "")))
        self.redraw()

    @property
    def total(self) -> int:
        return len(self._rows)

    def row_text(self) -> str:
        return " ".join(self._rows[self.cursor][:3]).strip()

    def item(self, index: int, *, selected: bool) -> Line:
        row = self._rows[index]
        base = self.base_style(selected=selected)
        sign = self.symbols.cursor if selected else " "
        room = self.size.width - 1 - _MARK_WIDTH
        name = fit(f"{row.number:>2} {row.name}", room, ellipsis=self.symbols.ellipsis)
        mark = fit(row.mark, _MARK_WIDTH, "right")
        return ((sign, base), (name, base), (mark, base or row.style))
