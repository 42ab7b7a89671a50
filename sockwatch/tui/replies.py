"""A terminal's replies to QUESTION, taken out of what it sends; the rest are keys."""

from __future__ import annotations

import re
from typing import Final

# OSC 11 asks for the background. DA1 comes behind it because every terminal answers it, and in
# order: what has not come before its reply will not come. See xterm's ctlseqs.
QUESTION: Final = b"\x1b]11;?\x07\x1b[c"

_REPLY: Final = re.compile(
    rb"\x1b\]11;(?P<background>[^\x07\x1b]{0,64})(?:\x07|\x1b\\)|\x1b\[\?[0-9;]{0,64}c"
)
_PART: Final = re.compile(
    rb"\x1b(?:\](?:1(?:1(?:;[^\x07\x1b]{0,64}\x1b?)?)?)?|\[(?:\?[0-9;]{0,64})?)?\Z"
)
_NO_KEY: Final = (b"\x1b]11;", b"\x1b[?")  # begins a reply only
_HEX: Final = rb"([0-9a-fA-F]{1,4})"
_COLOUR: Final = re.compile(
    rb"(?:rgb:%b/%b/%b|rgba:%b/%b/%b/%b)" % (_HEX, _HEX, _HEX, _HEX, _HEX, _HEX, _HEX)
)
# Of this luminance, black and white text have the same contrast (WCAG 2): (L + .05)^2 = 1.05 * .05
_BRIGHT: Final = 0.179


class Replies:
    """`light` is whether the background is bright; None while no reply has said it.

    `complete` is whether all replies have come.
    """

    def __init__(self) -> None:
        self.light: bool | None = None
        self.complete = False
        self._part = b""

    @property
    def holds_part(self) -> bool:
        """Whether what came last may be the beginning of a reply."""
        return bool(self._part)

    def take(self, data: bytes) -> bytes:
        """The keys in `data`, which is empty where the terminal sends nothing for a while."""
        waited = not data
        data, self._part = self._part + data, b""
        keys = _REPLY.sub(self._reply, data)
        if not self.complete and (part := _PART.search(keys)):
            keys, held = keys[: part.start()], part[0]
            if not waited:
                self._part = held
            elif not held.startswith(_NO_KEY):
                keys += held
        return keys

    def _reply(self, reply: re.Match[bytes]) -> bytes:
        background = reply["background"]
        if background is None:
            self.complete = True
        else:
            self.light = is_light(background)
        return b""


def is_light(colour: bytes) -> bool | None:
    """Whether it is bright, as XParseColor(3) writes it; None if that is no colour."""
    match = _COLOUR.fullmatch(colour)
    if match is None:
        return None
    channels = [int(h, 16) / (16 ** len(h) - 1) for h in match.groups() if h]
    red, green, blue = channels[:3]  # a fourth is its opacity
    return 0.2126 * _linear(red) + 0.7152 * _linear(green) + 0.0722 * _linear(blue) > _BRIGHT


def _linear(value: float) -> float:
    """The light of a channel of sRGB, both from 0 to 1."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
