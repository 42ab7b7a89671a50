"""sockwatch in a terminal of 80x24: what stands there, and when it looked."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from types import TracebackType

from tests.endurance import pace
from tests.endurance.counts import is_folded
from tests.endurance.display import Display
from tests.endurance.told import BEGUN, ENDED, REFUSED, TOLD
from tests.tui.terminal import Program

_KEPT = 20_000  # bytes of the output: enough for how the terminal was left
_FAULTS = (b"Traceback", b"this is a bug", b"Error:")
_SCREENS = {
    "details": "edit bind",
    "help": " Esc back",
    "filter": "Esc clear ",
    "request": "Esc undo ",
    "ports": " a all",
}  # by what their last line says
SCREENS = {*_SCREENS, "failures", "palette", "paused", "folded", "each port"}


class Watched(Program):
    def __init__(self, *arguments: str) -> None:
        self._looks, tell = os.pipe()
        super().__init__(
            [sys.executable, "-m", "tests.endurance.told", str(tell), *arguments], pass_fds=(tell,)
        )
        os.close(tell)
        self._rest = b""
        self.display = Display()
        self.begun: list[float] = []
        self.ended: list[float] = []
        self.refused: list[float] = []
        self.headers: list[pace.Shown] = []
        self.screens: Counter[str] = Counter()
        self.sent_bytes = 0
        self.faults: list[str] = []  # what the terminal showed of them

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        os.close(self._looks)

    @property
    def looking(self) -> bool:
        return len(self.begun) > len(self.ended) + len(self.refused)

    @property
    def screen(self) -> str:
        lines = self.display.lines
        if "search for a command" in self.display.text:
            return "palette"
        if lines[0].startswith((" sockwatch  failures", " failures")):
            return "failures"
        return next((name for name, sign in _SCREENS.items() if sign in lines[-1]), "")

    @property
    def all_namespaces(self) -> bool:
        return "all namespaces" in self.display.lines[0]

    def shows(self, screen: str) -> bool:
        return screen in (self.screen, *self._aspects())

    def _aspects(self) -> Iterator[str]:
        """What else is to be said of the screen."""
        if self.headers[-1].word == "PAUSED":
            yield "paused"
        if self.screen == "ports":
            yield "folded" if is_folded(self.display.lines) else "each port"

    def _fds(self) -> list[int]:
        return [*super()._fds(), self._looks]

    def _take(self, fd: int, data: bytes) -> None:
        if fd == self._looks:
            self._take_looks(data)
            return
        self.sent_bytes += len(data)
        tail = self.output[-20:] + data
        self.faults += [word.decode() for word in _FAULTS if word in tail]
        self.output = (self.output + data)[-_KEPT:]
        self.display.feed(data)
        self._see()

    def _take_looks(self, data: bytes) -> None:
        data = self._rest + data
        whole = len(data) - len(data) % TOLD.size
        self._rest = data[whole:]
        for what, at in TOLD.iter_unpack(data[:whole]):
            {BEGUN: self.begun, ENDED: self.ended, REFUSED: self.refused}[what].append(at)

    def _see(self) -> None:
        lines = self.display.lines
        header = pace.shown(lines[0], time.monotonic())
        if not self.headers or self.headers[-1][1:] != header[1:]:
            self.headers.append(header)
        self.screens.update((self.screen, *self._aspects()))
        # The line under a table tells so of a look that failed; hints stand on the last line.
        errors = [line for line in lines[1:-1] if line.startswith(" ! ")]
        self.faults += [line for line in errors if line not in self.faults]
