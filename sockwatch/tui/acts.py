"""The acts on a port: the menu is opened, and what is chosen in it is begun."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sockwatch.tui.act_threads import ActThreads
from sockwatch.tui.messages import ActChosen, ActsWanted, Copied, DetailsWanted, WaitTold
from sockwatch.tui.screens.acts import ActsScreen
from sockwatch.tui.screens.details import DetailsScreen
from sockwatch.tui.screens.free import FreeScreen
from sockwatch.tui.symbols import Symbols
from sockwatch.tui.watched import Watched
from sockwatch.view.acts import Goal, port_of

if TYPE_CHECKING:
    from sockwatch.tui.app import SockwatchApp

FREED_NOTICE_S: Final = 60.0  # whoever waits may look away


class Acts:
    """`host` is looked at for ports of our own network namespace."""

    def __init__(self, app: SockwatchApp, host: Watched, threads: ActThreads) -> None:
        self._app = app
        self._host = host
        self._threads = threads

    def offer(self, wanted: ActsWanted, symbols: Symbols) -> None:
        """Open the menu for that port, unless another screen has been opened meanwhile."""
        app = self._app
        if not app.shown.front.offers_acts:
            app.shown.show_notice("the lab has keys of its own for what runs in it")
        elif app.screen is app.shown.front and not isinstance(app.screen, ActsScreen):
            in_details = isinstance(app.screen, DetailsScreen)
            if not wanted.watched.is_outside:  # which can be looked at after the screen has closed
                wanted.watched = self._host.only(wanted.port.number)
            app.open(ActsScreen(wanted, self._threads, symbols, shows_details=not in_details))

    def do(self, chosen: ActChosen, symbols: Symbols) -> None:
        """Close the menu and begin what was chosen; nothing if it has been left meanwhile."""
        app, act = self._app, chosen.act
        if not isinstance(app.screen, ActsScreen):
            return
        app.action_leave_screen()
        match act.id:
            case "free" | "destroy" if act.plan is not None:
                app.open(FreeScreen(chosen, act.plan, self._threads, symbols))
            case "wait":
                outside = chosen.watched.is_outside
                goal = Goal.of(chosen.pair, chosen.snapshot, is_outside=outside)
                self._wait_for(goal, chosen.watched)
            case "stop waiting":
                self._threads.stop_waiting()
                app.shown.show_waiting("")
            case "copy" if act.command is not None:
                app.copy_to_clipboard(act.command)
                app.post_message(Copied(act.command, "the command"))
            case "details":
                port = port_of(chosen.pair, chosen.snapshot)
                app.post_message(DetailsWanted(port, chosen.snapshot, chosen.watched))

    def _wait_for(self, goal: Goal, watched: Watched) -> None:
        try:
            self._threads.wait_for(goal, watched)
        except RuntimeError as error:
            self._app.shown.show_notice(f"nothing is waited for: {error}")
        else:
            self._app.shown.show_waiting(goal.waiting_text())

    def tell(self, told: WaitTold) -> None:
        """Show how the port that is waited for is now; ring once it is free."""
        wait, shown = told.wait, self._app.shown
        if wait is not self._threads.wait:  # another one has taken its place
            return
        if told.is_over:
            self._threads.stop_waiting()
            self._app.bell()
            shown.show_waiting("")
            goal, refused = wait.goal, told.refused
            text = goal.given_up_text(refused) if refused else goal.freed_text
            shown.show_notice(text, FREED_NOTICE_S)
        else:
            shown.show_waiting(wait.goal.waiting_text(told.verdict, told.refused))
