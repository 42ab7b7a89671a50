"""A host that shows what the test decides."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sockwatch.tui.app import SockwatchApp
from sockwatch.tui.options import Options
from tests.support import build
from tests.support.waiting import PATIENCE_S
from tests.tui.failing_host import Open, quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from textual.pilot import Pilot

    from sockwatch.model import Gap, Port, Snapshot
    from sockwatch.tui.free_thread import Perform
    from sockwatch.tui.lab.backend import LabBackend

GOLDEN = Path(__file__).parent / "golden"
PAUSE_S = 0.002  # for the app's threads


class Host:
    """`take` is what the app calls, in its own thread."""

    def __init__(self, ports: Iterable[Port] | None = None, gaps: tuple[Gap, ...] = ()) -> None:
        self.ports = list(build.web_host() if ports is None else ports)
        self.gaps = gaps
        self.error: Exception | None = None
        self.looks = 0
        self.asked: list[int | None] = []
        self.now = 100.0

    def take(self, number: int | None) -> Snapshot:
        """What take_snapshot(port=number) is to the app."""
        self.asked.append(number)
        self.looks += 1
        if self.error is not None:
            raise self.error
        found = [port for port in self.ports if number in (None, port.number)]
        return build.snapshot(found, time=build.NOW + self.looks, gaps=self.gaps, only_port=number)

    def app(
        self,
        options: Options | None = None,
        lab: LabBackend | None = None,
        open_watch: Open = quiet,
        perform: Perform | None = None,
    ) -> SockwatchApp:
        """The app polls only when it is asked to: the interval is an hour."""
        options = options or Options(interval_s=3600.0)
        return SockwatchApp(
            options, self.take, lambda: self.now, lab, open_watch, perform=perform or unexpected
        )


def unexpected(*_: object) -> NoReturn:
    """No test of a made-up host may signal real processes."""
    raise AssertionError("a plan was carried out")


async def wait_for(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    """Let the app run until the condition holds; TimeoutError shows the screen."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("\n".join(screen_lines(pilot.app)))
        await asyncio.sleep(PAUSE_S)
        await pilot.pause()


async def shows(pilot: Pilot[int], text: str) -> None:
    """Wait for the text on the screen."""
    await wait_for(pilot, lambda: text in "\n".join(screen_lines(pilot.app)))


async def look(pilot: Pilot[int], host: Host) -> None:
    """Poll once more, and wait until that is drawn."""
    before = host.looks
    await pilot.press("r")
    await wait_for(pilot, lambda: host.looks > before)
    await wait_for(pilot, lambda: drawn_looks(pilot.app) >= host.looks)


def drawn_looks(app: object) -> int:
    """How many polls the app has drawn."""
    assert isinstance(app, SockwatchApp)
    return 0 if app.latest is None else round(app.latest.time - build.NOW)


def screen_lines(app: object) -> list[str]:
    """What a terminal would show, as text."""
    assert isinstance(app, SockwatchApp)
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def line_with(app: object, text: str) -> str:
    """The screen's first line with the text."""
    return next(line for line in screen_lines(app) if text in line)


def colour_lines(app: object) -> list[str]:
    """A letter for the style of each cell, and what the letters mean; no style is a space."""
    assert isinstance(app, SockwatchApp)
    letters = {"": " "}
    lines = []
    for strip in app.screen._compositor.render_strips():
        line = ""
        for piece in strip:
            style = str(piece.style or "")
            letter = letters.setdefault(style, chr(ord("a") + len(letters) - 1))
            line += letter * piece.cell_length
        lines.append(line)
    return [*lines, *(f"{letter}  {style}" for style, letter in letters.items() if style)]


def check_golden(app: object, name: str, *, colours: bool = False) -> None:
    """Compare the screen with the kept one; SOCKWATCH_UPDATE_GOLDEN=1 keeps this one."""
    lines = [*screen_lines(app), *(colour_lines(app) if colours else ())]
    text = "\n".join(lines) + "\n"
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("SOCKWATCH_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
