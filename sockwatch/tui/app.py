"""The app: it owns the poller, the screens, the pause and the threads of the lab."""

from __future__ import annotations

import asyncio
import math
import os
import sys
import time
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from rich.traceback import Traceback
from textual import on
from textual.app import App, SystemCommand
from textual.command import CommandPalette

from sockwatch.tui.commands import APP_COMMANDS, bindings
from sockwatch.tui.failures_feed import FailuresFeed
from sockwatch.tui.messages import (
    Copied,
    Crashed,
    DetailsWanted,
    FailuresRefused,
    FailuresSeen,
    Looked,
    LookFailed,
    Noticed,
    WatchChanged,
)
from sockwatch.tui.poller import Poller
from sockwatch.tui.screens.base import BaseScreen
from sockwatch.tui.screens.details import DetailsScreen
from sockwatch.tui.screens.failures import FailuresScreen
from sockwatch.tui.screens.help import HelpScreen
from sockwatch.tui.screens.main import MainScreen
from sockwatch.tui.signals import exit_on_signals
from sockwatch.tui.symbols import ASCII, UNICODE
from sockwatch.tui.watched import Take, Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from textual.screen import Screen

    from sockwatch.model import Snapshot
    from sockwatch.tui.failures_thread import Watch
    from sockwatch.tui.lab.backend import LabBackend
    from sockwatch.tui.lab.thread import LabThread
    from sockwatch.tui.options import Options

INTERVALS_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_NOTICE_S = 3.0
_LAB_ENDS_S = 3.0  # what the lab may take to end in order; after that the kernel ends it with us
_SIXTEEN_COLOURS = (None, "standard")


class SockwatchApp(App[int]):
    """`take` looks at the host: at one port, or at all of them for None."""

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
    ) -> None:
        no_color = options.no_color or "NO_COLOR" in os.environ
        if options.no_color:
            os.environ["NO_COLOR"] = "1"  # the only way to tell textual, which takes it out again
        # Without this textual draws in greys that a terminal of few colours shows as black.
        super().__init__(ansi_color=True if no_color else None)
        self.crashed = False
        self._debug = options.debug
        self._clock = clock
        self._symbols = ASCII if options.ascii else UNICODE
        self._readonly = options.readonly
        self._host = Watched(take)
        self.poller = Poller(self._host, self.post_message, options.interval_s)
        self._paused_at: float | None = None
        self._latest: Looked | None = None
        self._lab = lab
        self._labs: list[LabThread] = []
        self._feed = FailuresFeed(self.post_message, open_watch, always=options.watch_failures)
        self._notice_until = 0.0
        self.set_class(options.ascii, "-ascii")
        if no_color or self.console.color_system in _SIXTEEN_COLOURS:
            self.theme = "ansi-dark"

    def get_default_screen(self) -> Screen[None]:
        return MainScreen(self._symbols, self._host)

    def on_mount(self) -> None:
        if not self.is_headless:
            exit_on_signals(self._leave)
        self.set_interval(1.0, self.tick)

    def on_unmount(self) -> None:
        self.poller.stop()
        self._feed.stop()
        for lab in self._labs:
            lab.close()

    def end_labs(self) -> None:
        """Wait until the stages are closed; not in the event loop."""
        for lab in self._labs:
            lab.close()
            lab.join(_LAB_ENDS_S)

    def _leave(self, code: int) -> None:
        self.exit(return_code=code)

    @property
    def base(self) -> BaseScreen:
        """The screen in front, or the one behind a dialog of textual's own."""
        return next(one for one in reversed(self.screen_stack) if isinstance(one, BaseScreen))

    @property
    def paused(self) -> bool:
        return self._paused_at is not None

    @property
    def latest(self) -> Snapshot | None:
        return None if self._latest is None else self._latest.snapshot

    @on(Looked)
    def _looked(self, message: Looked) -> None:
        self.poller.taken()
        self._latest = message
        self._show(message)
        for screen in self._watching(message.watched):
            screen.show_error("")
        self.tick()

    def _show(self, look: Looked) -> None:
        for screen in self._watching(look.watched):
            if not self.paused or screen.fresh:
                screen.fresh = False
                screen.show(look.snapshot)

    def _watching(self, watched: Watched) -> list[BaseScreen]:
        return [screen for screen in self._own_screens() if screen.watched == watched]

    def _own_screens(self) -> list[BaseScreen]:
        return [one for one in self.screen_stack if isinstance(one, BaseScreen) and one.drawable]

    @on(LookFailed)
    def _look_failed(self, message: LookFailed) -> None:
        self.poller.taken()
        if self.base in self._watching(message.watched):
            self.base.show_error(message.text)
        self.tick()

    @on(Crashed)
    def _crashed(self, message: Crashed) -> None:
        raise message.error

    @on(Copied)
    def _copied(self, message: Copied) -> None:
        self.show_notice(f"copied: {' '.join(message.text.split())}")

    @on(Noticed)
    def _noticed(self, message: Noticed) -> None:
        self.show_notice(message.text)

    def show_notice(self, text: str) -> None:
        """Show a short message for a moment."""
        self._notice_until = self._clock() + _NOTICE_S
        self.base.show_notice(text)

    @on(DetailsWanted)
    def _details(self, message: DetailsWanted) -> None:
        watched = message.watched
        self._open(DetailsScreen(message.port, message.snapshot, self._symbols, watched))

    def _open(self, screen: BaseScreen) -> None:
        self.push_screen(screen)
        self.poller.watch(screen.watched)

    @on(BaseScreen.Opened)
    async def _opened(self) -> None:
        self.poller.start()
        self.tick()
        if self._feed.always or isinstance(self.screen, FailuresScreen):
            await self._feed.start()
            self._show_failures()

    @on(WatchChanged)
    def _watch_changed(self) -> None:
        self.poller.watch(self.base.watched)

    def action_leave_screen(self) -> None:
        if isinstance(self.screen, FailuresScreen) and not self._feed.always:
            self._feed.stop()
        self.pop_screen()
        self.poller.watch(self.base.watched)

    def tick(self) -> None:
        """Show what the clock changes; a second without a change costs nothing."""
        now = self._clock()
        if self._notice_until and now >= self._notice_until and self._own_screens():
            self._notice_until = 0.0
            for screen in self._own_screens():  # it may stand on one that is behind by now
                screen.show_notice("")
        text, style = self._pace(now)
        for screen in self._own_screens():
            screen.show_pace(text, style)

    def _pace(self, now: float) -> tuple[str, str]:
        if self._paused_at is not None:
            return f"PAUSED {int(now - self._paused_at)}s", "-warn"
        late_s = self.poller.late_s(time.monotonic())
        if late_s >= 1:
            return f"late {int(late_s)}s", "-bad"
        interval_s = self.poller.interval_s
        if self.poller.period_s > interval_s * 1.5:
            return f"slow {math.ceil(self.poller.period_s)}s", "-warn"
        return f"{interval_s:g}s", "-dim"

    def action_pause(self) -> None:
        if self._paused_at is None:
            self._paused_at = self._clock()
        else:
            self._paused_at = None
            if self._latest is not None:
                self._show(self._latest)
            self._show_failures()
            self.poller.look_now()
        self.tick()

    def action_look_now(self) -> None:
        self.poller.look_now()

    def action_interval(self, by: int) -> None:
        here = self.poller.interval_s
        steps = [s for s in INTERVALS_S if (s > here if by > 0 else s < here)]
        if steps:
            self.poller.interval_s = min(steps) if by > 0 else max(steps)
            self.poller.look_now()
        self.tick()

    def action_help(self) -> None:
        if not isinstance(self.screen, HelpScreen):
            self._open(HelpScreen(self.base, self._symbols))

    @on(FailuresSeen)
    def _failures_seen(self, message: FailuresSeen) -> None:
        self._feed.seen = message
        if not self._show_failures() and message.folds:
            self.show_notice(f"{message.folds[0].text}; f shows more")

    @on(FailuresRefused)
    def _failures_refused(self, message: FailuresRefused) -> None:
        self._feed.refused = message
        if not self._show_failures():
            self.show_notice(message.text)

    def _show_failures(self) -> bool:
        """Whether there is a screen for them."""
        screens = [one for one in self._own_screens() if isinstance(one, FailuresScreen)]
        for screen in screens:
            if not self.paused or screen.fresh:
                screen.show_failures(self._feed)
        return bool(screens)

    def action_failures(self) -> None:
        self._open(FailuresScreen(self._symbols))

    async def action_lab(self) -> None:
        if self._readonly:
            self.show_notice("--readonly switches the lab off")
            return
        # What the lab needs is not loaded at every start, nor while the screens stand still.
        await asyncio.to_thread(import_module, "sockwatch.tui.lab.screen")
        from sockwatch.tui.lab.backend import LabBackend  # noqa: PLC0415
        from sockwatch.tui.lab.screen import LabScreen  # noqa: PLC0415
        from sockwatch.tui.lab.thread import LabThread  # noqa: PLC0415

        backend = self._lab or LabBackend()
        thread = LabThread(backend)
        self._labs.append(thread)
        self._open(LabScreen(self._symbols, thread, backend.scenarios()))

    def action_command_palette(self) -> None:
        if self.screen is self.base:
            self.push_screen(CommandPalette(placeholder="part of a command's name"))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        commands = screen.COMMAND_TABLE if isinstance(screen, BaseScreen) else ()
        for command in (*commands, *APP_COMMANDS):
            if command.action != "app.command_palette":
                run = partial(self.run_action, command.action, screen)
                yield SystemCommand(command.title, command.help, run)

    def _fatal_error(self) -> None:
        # Textual's own shows local variables: other users' command lines, in a pasted report.
        self.crashed = True
        if self._debug:
            self.panic(Traceback(show_locals=False, width=None))
            return
        error = sys.exc_info()[1]
        self.panic(
            Text(f"sockwatch: this is a bug: {type(error).__name__}: {error}; --debug shows where")
        )
