"""A menu over the screen: what can be done with a port, each with what it would do."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.screen import ModalScreen

from sockwatch.bind.pair import RequestPair
from sockwatch.model import Snapshot
from sockwatch.tui.act_threads import ActThreads
from sockwatch.tui.commands import ACTS_COMMANDS, MOVE_COMMANDS, bindings
from sockwatch.tui.messages import ActChosen, ActsWanted, Noticed
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.widgets.act_list import ActList
from sockwatch.tui.widgets.box import Box
from sockwatch.tui.widgets.footer_bar import FooterBar
from sockwatch.tui.widgets.panel import Panel
from sockwatch.tui.widgets.status_line import StatusLine
from sockwatch.view.acts import acts_on, acts_title, whole_port
from sockwatch.view.lines import Line

HEIGHTS: Final = ((0, "-tiny"), (12, "-usual"))
NOT_YET: Final = "this is not known yet: the port is being looked at"


class ActsScreen(BaseScreen, ModalScreen[None]):
    """Opens with the snapshot of the screen below; from then on only this port is polled.

    Nothing is done here: what was chosen is posted as ActChosen. `shows_details`: the screen below
    is not the details of the port.
    """

    BINDINGS: ClassVar = bindings((*ACTS_COMMANDS, *MOVE_COMMANDS))
    COMMAND_TABLE = (*ACTS_COMMANDS, *MOVE_COMMANDS)
    HELP_TITLE = "Acts"
    has_help = False
    freezes = False

    def __init__(
        self, wanted: ActsWanted, threads: ActThreads, symbols: Symbols, *, shows_details: bool
    ) -> None:
        super().__init__(symbols, wanted.watched)
        self.VERTICAL_BREAKPOINTS = list(HEIGHTS)
        self._wanted = wanted
        self._pair = (
            whole_port(*wanted.port.key) if wanted.request is None else RequestPair(wanted.request)
        )
        self._latest = wanted.snapshot
        self._note = ""
        self._threads = threads
        self._shows_details = shows_details

    def compose(self) -> ComposeResult:
        with Box():
            yield ActList()
            yield Panel()
            yield StatusLine()
            yield FooterBar(ACTS_COMMANDS)

    def ready(self) -> None:
        self.show(self._wanted.snapshot)

    @property
    def list(self) -> ActList:
        return self.query_one(ActList)

    def show(self, snapshot: Snapshot) -> None:
        """Show what is valid now: the port may have changed, or gone, since the menu opened."""
        self._latest = snapshot
        is_outside = self._wanted.watched.is_outside
        acts = acts_on(
            self._pair,
            snapshot,
            is_outside=is_outside,
            is_waited_for=self._is_waited_for,
            shows_details=self._shows_details,
        )
        self.list.show(acts_title(self._pair, snapshot, is_outside=is_outside), acts.acts)
        self._note = acts.note
        self._show_more()

    @property
    def _is_waited_for(self) -> bool:
        wait, netns = self._threads.wait, self._latest.netns.key
        return wait is not None and wait.goal[:2] == (self._pair, netns)

    def _show_more(self) -> None:
        act = self.list.act
        lines: list[Line] = []
        if act is not None:
            lines += [Line("text", act.text)] if self.list.is_cut(act) else []
            lines += [Line("text", text) for text in act.whom]
        if self._note:
            lines.append(Line("warning", self._note))
        self.query_one(Panel).show(lines)
        self.query_one(StatusLine).show("" if act is None else act.hint)

    def on_scroll_lines_moved(self) -> None:
        self._show_more()

    def on_act_list_chosen(self) -> None:
        self.action_choose()

    def action_choose(self) -> None:
        """Leave it to the app to do what is under the cursor."""
        act = self.list.act
        if act is None:
            return
        if act.id in ("free", "destroy") and act.plan is None:
            self.post_message(Noticed(NOT_YET))
        else:
            watched = self._wanted.watched
            self.app.post_message(ActChosen(act, self._pair, self._latest, watched))
