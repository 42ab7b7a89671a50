"""What stands on a terminal, from the bytes that went to it: as much of one as the screens use."""

from __future__ import annotations

import codecs
import re

COLUMNS, ROWS = 80, 24
_STRING = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")  # OSC: titles, the clipboard
_CONTROL = re.compile(r"\x1b\[([<=>?]?)([0-9;]*)([ -/]*)([@-~])")
_UNFINISHED = re.compile(r"\x1b(?:\[[<=>?]?[0-9;]*[ -/]*|\][^\x07\x1b]*\x1b?)?\Z")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]+")
_ALTERNATE = "?1049"
_WITHOUT_EFFECT_HERE = "mhlupt"  # colours, modes, keyboard protocols, window operations


class Display:
    """80x24. Raises ValueError at what it does not know, so that it never shows something else."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._rest = ""
        self._x = self._y = 0
        self.alternate = False
        self._clear()

    def feed(self, data: bytes) -> None:
        text = self._rest + self._decoder.decode(data)
        at = 0
        while at < len(text):
            if found := _TEXT.match(text, at):
                self._write(found[0])
            elif found := _CONTROL.match(text, at):
                self._control(found[1] + found[2], found[3] + found[4])
            elif found := _STRING.match(text, at):
                pass
            elif _UNFINISHED.match(text, at):
                break
            elif text[at] in "\r\n\b\x07":
                self._move(text[at])
                at += 1
                continue
            else:
                raise ValueError(f"unknown to this terminal: {text[at : at + 20]!r}")
            at = found.end()
        self._rest = text[at:]

    @property
    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self._rows]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def _clear(self) -> None:
        self._rows = [[" "] * COLUMNS for _ in range(ROWS)]

    def _write(self, text: str) -> None:
        for character in text:
            if self._x == COLUMNS:
                self._x = 0
                self._line_feed()
            self._rows[self._y][self._x] = character
            self._x += 1

    def _move(self, character: str) -> None:
        if character == "\r":
            self._x = 0
        elif character == "\n":
            self._line_feed()
        elif character == "\b":
            self._x = max(0, self._x - 1)

    def _line_feed(self) -> None:
        if self._y < ROWS - 1:
            self._y += 1
        else:
            self._rows = [*self._rows[1:], [" "] * COLUMNS]

    def _control(self, parameters: str, final: str) -> None:
        if final == "H":
            y, x = ([int(each or 1) for each in parameters.split(";")] + [1, 1])[:2]
            self._y, self._x = min(y, ROWS) - 1, min(x, COLUMNS) - 1
        elif parameters == _ALTERNATE:
            self.alternate = final == "h"
            self._clear()
            self._x = self._y = 0
        elif final[-1] not in _WITHOUT_EFFECT_HERE:
            raise ValueError(f"unknown to this terminal: CSI {parameters} {final}")
