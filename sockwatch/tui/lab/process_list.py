"""The processes in the sandbox, and what each of them has open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sockwatch.lab.languages.translation import ENGLISH, Translation
from sockwatch.lab.model import LONGEST_NAME, ServerSpec
from sockwatch.tui.lab.events import ProcessView
from sockwatch.tui.widgets.lines import Line
from sockwatch.tui.widgets.scroll_lines import ScrollLines
from sockwatch.units import endpoint
from sockwatch.view.fit import fit

NOBODY: Final = "no process"


class ProcessList(ScrollLines):
    """A line for each process; the cursor stays on its process."""

    say = ENGLISH

    def __init__(self) -> None:
        super().__init__()
        self._processes: Sequence[ProcessView] = ()

    def show(self, processes: Sequence[ProcessView]) -> None:
        was = self.process
        self._processes = processes
        names = [process.name for process in processes]
        if was is not None and was.name in names:
            self.cursor = names.index(was.name)
        self.cursor = max(0, min(self.cursor, self.total - 1))
        self.show_cursor()
        self.redraw()

    @property
    def total(self) -> int:
        return len(self._processes)

    @property
    def process(self) -> ProcessView | None:
        """The process under the cursor."""
        return self._processes[self.cursor] if self._processes else None

    def row_text(self) -> str:
        return "" if self.process is None else process_text(self.process, self.say)

    def line(self, y: int) -> Line:
        if y == 0 and not self._processes:
            return ((f" {self.say(NOBODY)}", "-dim"),)
        return super().line(y)

    def item(self, index: int, *, selected: bool) -> Line:
        process = self._processes[index]
        base = self.base_style(selected=selected)
        sign = self.symbols.cursor if selected else " "
        longest = max(len(one.name) for one in self._processes)
        name = fit(process.name, min(longest, LONGEST_NAME))
        text = fit(
            f"{name} {process.pid} {opened_text(process, self.say)}",
            self.size.width - 1,
            ellipsis=self.symbols.ellipsis,
        )
        return ((sign, base), (text, base or ("-warn" if process.stopped else "")))


def opened_text(process: ProcessView, say: Translation) -> str:
    """``STOPPED 10013 A-``: what it has open, and its reuse flags."""
    words = [f"{spec.port} {_letters(spec)}" for spec in process.opened]
    return " ".join([say("STOPPED")] * process.stopped + words)


def process_text(process: ProcessView, say: Translation) -> str:
    """The same with every address."""
    words = [
        f"{one.protocol} {endpoint(one.address, one.port)} {_letters(one)}"
        for one in process.opened
    ]
    state = f" {say('stopped')}" if process.stopped else ""
    return f"{process.name} pid {process.pid}{state}  {', '.join(words)}".rstrip()


def _letters(spec: ServerSpec) -> str:
    return ("A" if spec.reuseaddr else "-") + ("P" if spec.reuseport else "-")
