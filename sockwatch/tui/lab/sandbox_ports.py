"""The ports of the sandbox and the panel about one, covered where they give an answer away."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sockwatch.lab.languages.translation import ENGLISH, Translation
from sockwatch.model import Port, Snapshot
from sockwatch.tui.widgets.panel import Panel
from sockwatch.tui.widgets.port_table import PortTable
from sockwatch.view.answer import new_request
from sockwatch.view.column import Column
from sockwatch.view.look import Look
from sockwatch.view.marks import Marks
from sockwatch.view.panel import panel
from sockwatch.view.port_facts import first_process
from sockwatch.view.sorting import Order, sort_ports

COVER: Final = (
    "covered until the kernel has answered",
    "1 to 4 bet on its answer, n goes on without a bet",
)
COVERED_COLUMNS: Final = frozenset({"reuse"})
COVERED_CELL: Final = "later"


class SandboxTable(PortTable):
    """A table of ports; `covered`, it does not say what the next bind() would meet.

    The processes of the lab all run one interpreter, so they are shown by their names.
    """

    covered = False
    say = ENGLISH

    @property
    def columns(self) -> tuple[Column[Port], ...]:
        return tuple(map(self._in_sandbox, super().columns))

    def _in_sandbox(self, column: Column[Port]) -> Column[Port]:
        if self.covered and column.key in COVERED_COLUMNS:
            return replace(column, cell=lambda *_: self.say(COVERED_CELL), mark=None, short=None)
        if column.key == "process":
            return replace(column, cell=lambda port, now: _name(port) or column.cell(port, now))
        return column


class SandboxPorts:
    """Draws the table and the panel from the last snapshot, which is None before the first."""

    def __init__(self, table: SandboxTable, box: Panel, say: Translation) -> None:
        self.snapshot: Snapshot | None = None
        self._table = table
        self._box = box
        self._say = table.say = say
        self._marks = Marks()

    @property
    def covered(self) -> bool:
        return self._table.covered

    def cover(self, *, covered: bool) -> None:
        """Cover what gives the answer away, or uncover it."""
        if covered != self._table.covered:
            self._table.covered = covered
            self._table.redraw()
            self.draw_panel()

    def forget(self) -> None:
        """The sandbox is gone."""
        self.snapshot = None
        self._table.show((), Order(), 0.0)
        self.draw_panel()

    def start_afresh(self) -> None:
        """Mark no port as new or gone: the sandbox is another one."""
        self._marks = Marks()

    def show(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._marks.update(Look.of(snapshot))
        ports = sort_ports((*snapshot.ports, *self._marks.gone), Order())
        self._table.show(ports, Order(), snapshot.time, self._marks.of)
        self.draw_panel()

    def draw_panel(self) -> None:
        """Draw what is said about the port under the cursor."""
        port, snapshot = self._table.row, self.snapshot
        if self.covered:
            self._box.show_text(*map(self._say, COVER))
        elif snapshot is None:
            self._box.show(())
        elif port is None:
            self._box.show_text(self._say("no port is in use in the sandbox"))
        else:
            self._box.show(panel(new_request(port), snapshot))


def _name(port: Port) -> str:
    process = first_process(port)
    return "" if process is None else process.name
