"""What stands on a terminal, from the bytes that went to it."""

from __future__ import annotations

import pyte

COLUMNS, ROWS = 80, 24


class Display:
    """A terminal of 80x24 that nobody looks at."""

    def __init__(self) -> None:
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._lines: list[str] | None = None  # asked for at every key, which writes little

    def feed(self, data: bytes) -> None:
        """Take what the program has written, wherever it is cut."""
        self._stream.feed(data)
        self._lines = None

    @property
    def lines(self) -> list[str]:
        """The rows of the screen, without the blanks at their ends."""
        if self._lines is None:
            self._lines = [line.rstrip() for line in self._screen.display]
        return self._lines

    @property
    def text(self) -> str:
        """The whole screen."""
        return "\n".join(self.lines)
