"""The app: a stack of screens, and what is polled, watched and rehearsed behind them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from rich.traceback import Traceback
from textual import on
from textual.app import App, SystemCommand
from textual.screen import Screen

from sockwatch.lab.languages.translation import ENGLISH
from sockwatch.model import Snapshot, shortage
from sockwatch.tui.act_threads import ActThreads
from sockwatch.tui.background import Question
from sockwatch.tui.commands import APP_COMMANDS, bindings
from sockwatch.tui.driver import TerminalDriver
from sockwatch.tui.failures_feed import FailuresFeed
from sockwatch.tui.labs import Labs
from sockwatch.tui.messages import (
    ActChosen,
    ActsWanted,
    BackgroundSeen,
    Copied,
    Crashed,
    DetailsWanted,
    FailuresRefused,
    FailuresSeen,
    Noticed,
    Polled,
    PollFailed,
    WaitTold,
    WatchChanged,
)
from sockwatch.tui.open_screens import OpenScreens
from sockwatch.tui.options import Options
from sockwatch.tui.pace import Pace
from sockwatch.tui.palette import Palette
from sockwatch.tui.poller import Poller
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.screens.blind_spots import BlindSpotsScreen
from sockwatch.tui.screens.details import DetailsScreen
from sockwatch.tui.screens.failures import FailuresScreen
from sockwatch.tui.screens.help import HelpScreen
from sockwatch.tui.screens.main import MainScreen
from sockwatch.tui.signals import exit_on_signals
from sockwatch.tui.symbols import ASCII, UNICODE
from sockwatch.tui.themes import Themes
from sockwatch.tui.watched import FarHost, Namespaces, Take, Watched

if TYPE_CHECKING:  # all are loaded when they are used first
    from sockwatch.tui.acts import Acts
    from sockwatch.tui.failures_thread import Watch
    from sockwatch.tui.free_thread import Perform
    from sockwatch.tui.lab.backend import LabBackend

_SIXTEEN_COLOURS = (None, "standard")


class SockwatchApp(App[int]):
    """The app. `take` returns a snapshot of one port, or of all ports for None.

    `far` is the host whose documents `take` returns; None for our own.
    `question` is what the terminal was asked, or None. `clock`, `lab`, `open_watch` and `perform`
    replace the real ones in tests.
    """

    CSS_PATH = "app.tcss"
    TITLE = "sockwatch"
    BINDINGS: ClassVar = bindings(APP_COMMANDS)
    ALLOW_SELECT = False
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"

    def __init__(
        self,
        options: Options,
        take: Take,
        clock: Callable[[], float] = time.monotonic,
        lab: LabBackend | None = None,
        open_watch: Callable[[], Watch] | None = None,
        take_each_port: Take | None = None,
        namespaces: Namespaces | None = None,
        question: Question | None = None,
        perform: Perform | None = None,
        far: FarHost | None = None,
    ) -> None:
        no_color = options.no_color or "NO_COLOR" in os.environ
        if options.no_color:
            os.environ["NO_COLOR"] = "1"  # the only way to tell textual, which takes it out again
        # Without this textual draws in greys that a terminal of few colours shows as black.
        super().__init__(driver_class=TerminalDriver, ansi_color=True if no_color else None)
        self.crashed = False
        self._debug = options.debug
        self._symbols = ASCII if options.ascii else UNICODE
        self._readonly = options.readonly
        self._far = far
        self._host = Watched(
            take,
            take_each_port=take_each_port,
            is_outside=far is not None and far.is_outside,
            namespaces=namespaces,
        )
        self.poller = Poller(self._host, self.post_message, options.interval_s)
        self.pace = Pace(self.poller, clock, far)
        self.shown = OpenScreens(lambda: self.screen_stack, self.pace, clock)
        self._latest: Polled | None = None
        self.labs = Labs(lab, options.language)
        self.act_threads = ActThreads(self.post_message, perform)
        self.failures = FailuresFeed(self.post_message, open_watch, always=options.watch_failures)
        self.set_class(options.ascii, "-ascii")
        self.question = question
        few_colours = no_color or self.console.color_system in _SIXTEEN_COLOURS
        self.themes = Themes(self, options.theme, few_colours=few_colours)

    def get_default_screen(self) -> Screen[None]:
        return MainScreen(self._symbols, self._host, offers_acts=not self._readonly)

    def on_mount(self) -> None:
        if not self.is_headless:
            exit_on_signals(lambda code: self.exit(return_code=code))
        self.set_interval(1.0, self.tick)

    def on_unmount(self) -> None:
        self.poller.stop()
        self.failures.stop()
        self.labs.close()
        self.act_threads.stop()

    def action_suspend_process(self) -> None:
        if isinstance(self._driver, TerminalDriver):
            self._driver.suspend_process_group()

    def action_switch_theme(self) -> None:
        self.themes.switch()

    @on(BackgroundSeen)
    def _background_seen(self, message: BackgroundSeen) -> None:
        self.themes.follow(light=message.light)

    # The screens

    def open(self, screen: BaseScreen) -> None:
        self.push_screen(screen)
        self.poller.watch(screen.watched)

    @on(BaseScreen.Opened)
    async def _opened(self) -> None:
        self.poller.start()
        self.tick()
        if self.failures.always or self.shown.front.wants_failures:
            await self.failures.start()
            self.shown.show_failures(self.failures)

    def action_leave_screen(self) -> None:
        if self.shown.front.wants_failures and not self.failures.always:
            self.failures.stop()
        self.pop_screen()
        self.poller.watch(self.shown.front.watched)

    @on(DetailsWanted)
    def _details(self, message: DetailsWanted) -> None:
        self.open(
            DetailsScreen(
                message.port,
                message.snapshot,
                self._symbols,
                message.watched,
                message.request,
                offers_acts=not self._readonly and self.shown.front.offers_acts,
            )
        )

    def action_help(self) -> None:
        explained = self.shown.front
        if explained.has_help:
            self.open(HelpScreen(explained, self._symbols))

    def action_blind_spots(self) -> None:
        front, latest = self.shown.front, self._latest
        if latest is None or not latest.gaps:
            self.shown.show_notice("nothing that was looked at is hidden")
        elif front.has_help:
            self.open(BlindSpotsScreen(front, latest.gaps, self._symbols))

    def action_failures(self) -> None:
        if self._far is not None:
            self.shown.show_notice(f"failures are watched on {self._far.name}: sockwatch failures")
            return
        self.open(FailuresScreen(self._symbols))

    async def action_lab(self) -> None:
        if self._far is not None:
            self.shown.show_notice(f"the lab is of this host, and {self._far.name} is shown")
        elif self._readonly:
            self.shown.show_notice("--readonly disables the lab")
        else:
            self.open(await self.labs.open(self._symbols))

    # What is done to ports

    @cached_property
    def acts(self) -> Acts:
        """The acts on ports; loaded when they are asked for first."""
        from sockwatch.tui.acts import Acts  # noqa: PLC0415

        return Acts(self, self._host, self.act_threads)

    @on(ActsWanted)
    def _acts_wanted(self, message: ActsWanted) -> None:
        if self._far is not None:
            self.shown.show_notice(f"nothing is done to {self._far.name} from here")
        elif self._readonly:
            self.shown.show_notice("--readonly disables acts")
        else:
            self.acts.offer(message, self._symbols)

    @on(ActChosen)
    def _act_chosen(self, message: ActChosen) -> None:
        self.acts.do(message, self._symbols)

    @on(WaitTold)
    def _wait_told(self, message: WaitTold) -> None:
        self.acts.tell(message)

    # What is polled

    @property
    def latest(self) -> Snapshot | None:
        """The latest snapshot; None before the first."""
        return None if self._latest is None else self._latest.snapshot

    @on(Polled)
    def _polled(self, message: Polled) -> None:
        self.poller.acknowledge()
        self._latest = message
        self.shown.show(message)
        for screen in self.shown.watching(message.watched):
            screen.show_error("")
        self.tick()

    @on(PollFailed)
    def _poll_failed(self, message: PollFailed) -> None:
        self.poller.acknowledge()
        front = self.shown.front
        if front in self.shown.watching(message.watched):
            front.show_error(message.text)
        self.tick()

    @on(WatchChanged)
    def _watch_changed(self) -> None:
        self.poller.watch(self.shown.front.watched)
        if self.pace.paused:
            self.shown.show_notice("paused: the rows stay as they are until you press p")

    def action_pause(self) -> None:
        self.pace.toggle_pause()
        if not self.pace.paused:
            if self._latest is not None:
                self.shown.show(self._latest)
            self.shown.show_failures(self.failures)
            self.poller.poll_now()
        self.tick()

    def action_poll_now(self) -> None:
        self.poller.poll_now()

    def action_interval(self, by: int) -> None:
        self.pace.step(by)
        self.tick()

    # The failures

    @on(FailuresSeen)
    def _failures_seen(self, message: FailuresSeen) -> None:
        self.failures.seen = message
        if not self.shown.show_failures(self.failures) and message.folds:
            self.shown.show_notice(f"{message.folds[0].text}; press f for more")

    @on(FailuresRefused)
    def _failures_refused(self, message: FailuresRefused) -> None:
        self.failures.refused = message
        if not self.shown.show_failures(self.failures):
            self.shown.show_notice(message.text)

    # Notices, and what else the clock changes

    @on(Copied)
    def _copied(self, message: Copied) -> None:
        what = f"copied {message.what}".rstrip()
        self.shown.show_notice(f"{what}: {' '.join(message.text.split())}")

    @on(Noticed)
    def _noticed(self, message: Noticed) -> None:
        self.shown.show_notice(message.text)

    def tick(self) -> None:
        self.shown.tick()

    # The command palette, and the end

    def action_command_palette(self) -> None:
        if self.screen is self.shown.front:
            self.push_screen(Palette(placeholder="search for a command"))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        commands = screen.commands if isinstance(screen, BaseScreen) else ()
        say = screen.say if isinstance(screen, BaseScreen) else ENGLISH
        for command in (*commands, *APP_COMMANDS):
            if command.action != "app.command_palette":
                run = partial(self.run_action, command.action, screen)
                yield SystemCommand(say(command.title), say(command.help), run)

    @on(Crashed)
    def _crashed(self, message: Crashed) -> None:
        raise message.error

    def _fatal_error(self) -> None:
        # Textual's own shows local variables: other users' command lines, in a pasted report.
        self.crashed = True
        if self._debug:
            self.panic(Traceback(show_locals=False, width=None))
            return
        error = sys.exc_info()[1]
        scarce = None if error is None else shortage(error)
        bug = f"this is a bug: {type(error).__name__}: {error}; --debug shows the traceback"
        if self._far is not None:
            bug = f"what {self._far.name} says does not fit together: {type(error).__name__}"
        self.panic(Text(f"sockwatch: {scarce or bug}"))
