"""Free a port: the plan first, then a confirmation, then what happens, and whether it is free."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import ClassVar, Final, Literal, TypeAlias

from textual.app import ComposeResult
from textual.screen import ModalScreen

from sockwatch.act.model import EventKind, Plan
from sockwatch.act.proof import Replanned
from sockwatch.model import Snapshot
from sockwatch.tui.act_threads import ActThreads
from sockwatch.tui.commands import BACK, FREE_COMMANDS, FREE_MOVES, bindings
from sockwatch.tui.free_thread import FreeThread
from sockwatch.tui.messages import ActChosen, FreeAsked, FreeEnded, FreeTold, Noticed
from sockwatch.tui.screens.acts import HEIGHTS
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.widgets.box import Box
from sockwatch.tui.widgets.confirm_bar import ConfirmBar
from sockwatch.tui.widgets.footer_bar import FooterBar
from sockwatch.tui.widgets.scroll_text import ScrollText
from sockwatch.tui.widgets.status_line import StatusLine
from sockwatch.units import spoken_clock
from sockwatch.view.acts import acts_title, free_plan, now_text, signature
from sockwatch.view.lines import Line
from sockwatch.view.plan import event_line, kill_question, plan_lines, target_text

# The plan is shown; it is carried out; the user is asked about a step; nothing more will be done.
Stage: TypeAlias = Literal["plan", "runs", "asks", "over"]
FOOTERS: Final = {
    "plan": "back, nothing is done",
    "runs": "take no further step",
    "asks": "no, and take no further step",
    "over": "back",
}


class FreeScreen(BaseScreen, ModalScreen[None]):
    """The plan follows what is seen of the port, until it is agreed to."""

    BINDINGS: ClassVar = bindings((*FREE_COMMANDS, *FREE_MOVES))
    COMMAND_TABLE = (*FREE_COMMANDS, *FREE_MOVES)
    HELP_TITLE = "Free a port"
    has_help = False
    freezes = False

    def __init__(
        self,
        chosen: ActChosen,
        plan: Plan,
        threads: ActThreads,
        symbols: Symbols,
    ) -> None:
        super().__init__(symbols, chosen.watched)
        self.VERTICAL_BREAKPOINTS = list(HEIGHTS)
        self._pair = chosen.pair
        self._plan = plan
        self._first = chosen.snapshot
        self._take = chosen.watched.take
        self._is_outside = chosen.watched.is_outside
        self._threads = threads
        self._destroys = chosen.act.id == "destroy"
        self._title = ""
        self._stage: Stage = "plan"
        self._story: list[Line] = []
        self._thread: FreeThread | None = None
        self._began = 0.0
        self._now = ""

    def compose(self) -> ComposeResult:
        with Box():
            yield ScrollText()
            yield StatusLine()
            yield ConfirmBar()
            yield FooterBar(FREE_COMMANDS)

    def ready(self) -> None:
        self.query_one(ConfirmBar).display = False
        self._show_snapshot(self._first)
        self._set_stage("plan")

    @property
    def bar(self) -> ConfirmBar:
        return self.query_one(ConfirmBar)

    @property
    def text(self) -> ScrollText:
        return self.query_one(ScrollText)

    def show(self, snapshot: Snapshot) -> None:
        """Show how the port is now; a plan that has changed has to be agreed to anew."""
        if self._stage == "plan":
            self._change_plan(self._plan_for(snapshot))
        self._show_snapshot(snapshot)

    def _change_plan(self, plan: Plan) -> None:
        is_same = signature(plan) == signature(self._plan)
        self._plan = plan
        if not is_same:
            self._set_stage("plan")  # which asks anew
            self.post_message(Noticed("the port has changed, and so has the plan: read it again"))

    def _show_snapshot(self, snapshot: Snapshot) -> None:
        self._title = acts_title(self._pair, snapshot, is_outside=self._is_outside)
        self._now = now_text(self._pair, snapshot)
        self._draw()

    def _draw(self) -> None:
        lines = plan_lines(self._plan) if self._stage == "plan" else self._story
        self.text.show(self._title, tuple(lines))
        self._show_place()

    def _show_place(self) -> None:
        since = spoken_clock(time.monotonic() - self._began) if self._stage == "runs" else ""
        status = self.text.place or since
        self.query_one(StatusLine).show(f"bind() now: {self._now}", status)

    def on_scroll_lines_moved(self) -> None:
        self._show_place()

    def _set_stage(self, stage: Stage) -> None:
        self._stage = stage
        if stage == "plan" and self._plan.steps:
            self.bar.ask(self._pair.request.port, "do this")
        elif stage != "asks":
            self.bar.close()
        self.text.follows = stage != "plan"
        back = replace(BACK, footer=FOOTERS[stage])
        self.query_one(FooterBar).show_commands((back,))
        self._draw()

    def on_confirm_bar_answered(self, event: ConfirmBar.Answered) -> None:
        """Enter: go on, if the number was typed, and nothing else is asked meanwhile."""
        if event.question != self.bar.question:
            return
        if not event.agreed:
            self.post_message(Noticed("nothing is done: that is not the number"))
        elif self._stage == "plan":
            self._begin()
        elif self._stage == "asks" and self._thread is not None:
            self._set_stage("runs")
            self._thread.answer(agreed=True)

    def _begin(self) -> None:
        self._began = time.monotonic()
        try:
            self._thread = self._threads.free(self._plan, self._replan, self.post_message)
        except RuntimeError as error:
            self.post_message(Noticed(f"nothing is done: {error}"))
            return
        self._set_stage("runs")

    def _replan(self) -> Replanned:
        """Look again, in the thread that frees the port. Raises SockwatchError."""
        snapshot = self._take(self._pair.request.port)
        return Replanned(self._plan_for(snapshot), snapshot)

    def _plan_for(self, snapshot: Snapshot) -> Plan:
        outside, destroy = self._is_outside, self._destroys
        return free_plan(self._pair, snapshot, is_outside=outside, destroy=destroy)

    def on_free_told(self, message: FreeTold) -> None:
        line = event_line(message.event)
        is_told_of_step = message.event.step is not None and message.event.kind != EventKind.BEGUN
        self._story.append(line._replace(indent=2) if is_told_of_step else line)
        self._draw()

    def on_free_asked(self, message: FreeAsked) -> None:
        first, now = message.targets[0], self._plan.time
        if message.by_sigkill:
            text, verb = kill_question(message.targets, now), "kill"
        else:
            text, verb = f"it only inherited the socket: {target_text(first, now)}", "end"
        self._story.append(Line("warning", text))
        self._set_stage("asks")
        others = f" and {more} more" if (more := len(message.targets) - 1) else ""
        self.bar.ask(first.pid, f"{verb} {first.name}{others}")

    def on_free_ended(self, message: FreeEnded) -> None:
        if message.refused:
            self._story.append(Line("bad", f"no more can be told: {message.refused}"))
        self._set_stage("over")

    async def action_back(self) -> None:
        """Leave the screen, but for a step under way: then take no further one."""
        thread = self._thread
        if self._stage in ("plan", "over") or thread is None or thread.is_stopping:
            await self.run_action("app.leave_screen")
        else:
            thread.stop()
            self._set_stage("runs")
            self._story.append(Line("warning", "stopping: no further step is taken"))
            self._draw()
