"""Asks the terminal whether its background is bright, before the screens are drawn."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
from contextlib import suppress
from typing import Any, Final

from sockwatch.tui.replies import QUESTION, Replies

_SILENT: Final = ("linux", "vt", "ansi", "cons", "eterm", "sun")  # TERMs that have no OSC 11
_DARK: Final = (0, 1, 2, 3, 4, 5, 6, 8)  # of the 16 colours, as vim has it
_COLOURS: Final = 16


class Question:
    """The terminal is asked when this is made, and may answer while something is imported.

    Until `close` it echoes nothing, so that no reply is seen. `keys` is what was typed meanwhile.
    Nothing is asked where the process is in the background: a shell has the terminal then.
    """

    def __init__(self) -> None:
        self.replies = Replies()
        self.keys = b""
        self._modes: list[Any] | None = None
        with suppress(OSError, ValueError, termios.error):
            self._input, output = sys.stdin.fileno(), sys.stdout.fileno()
            if _may_ask(self._input, output):
                self._modes = termios.tcgetattr(self._input)
                termios.tcsetattr(self._input, termios.TCSANOW, _without_echo(self._modes))
                os.write(output, QUESTION)

    def answer(self, limit_s: float) -> bool | None:
        """Whether the background is bright, or seems so by COLORFGBG; None if nothing says it.

        Waits that long for the terminal at most.
        """
        until = time.monotonic() + limit_s
        while self._modes is not None and not self.replies.complete:
            left_s = max(0.0, until - time.monotonic())
            if not select.select([self._input], [], [], left_s)[0]:
                break
            data = os.read(self._input, 4096)
            if not data:
                break
            self.keys += self.replies.take(data)
        return _hint() if self.replies.light is None else self.replies.light

    def close(self) -> None:
        """Give the terminal its modes back."""
        if self._modes is not None:
            modes, self._modes = self._modes, None
            with suppress(termios.error):
                termios.tcsetattr(self._input, termios.TCSANOW, modes)


def _may_ask(source: int, target: int) -> bool:
    if os.environ.get("TERM", "").startswith(_SILENT):
        return False
    group = os.getpgrp()
    if os.tcgetpgrp(source) != group or os.tcgetpgrp(target) != group:
        return False
    return bool(select.select([], [target], [], 0)[1])  # not while Ctrl-S holds its output


def _without_echo(modes: list[Any]) -> list[Any]:
    changed = list(modes)
    changed[0] &= ~termios.ICRNL  # Enter is what textual will read too
    changed[3] &= ~(termios.ECHO | termios.ICANON)
    return changed


def _hint() -> bool | None:
    """What COLORFGBG says, which rxvt and Konsole set: "15;0", or "0;default;15"."""
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    if not background.isdecimal() or int(background) >= _COLOURS:
        return None
    return int(background) not in _DARK
