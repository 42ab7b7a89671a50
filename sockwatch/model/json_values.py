"""JSON values of anybody's as plain values: of the right type, within the kernel's ranges."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, Final

from sockwatch.model.errors import SockwatchError
from sockwatch.text import clean

TEXT_LIMIT: Final = 1 << 14  # characters; a path has 4096 at most
INT_END: Final = 1 << 64
FLOAT_END: Final = 1e11  # seconds: what a calendar still has a year for
SHOWN: Final = 40  # characters of foreign data in a message


class MalformedError(SockwatchError):
    """Data that are no value of the model. `path` leads to them, the outermost name last."""

    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        """``ports[3].number: 70000 is no port``."""
        where = "".join(reversed(self.path)).removeprefix(".")
        return f"{where}: {self.args[0]}" if where else str(self.args[0])


def text(data: Any) -> str:
    """Any text, printable and cut. Raises MalformedError."""
    if type(data) is not str:
        raise MalformedError(f"{shown(data)} is no text")
    return clean(data, TEXT_LIMIT)


def whole_number(data: Any) -> int:
    """0 to 2**64 - 1. Raises MalformedError."""
    if type(data) is not int or not 0 <= data < INT_END:
        raise MalformedError(f"{shown(data)} is no whole number from 0 to 2**64 - 1")
    return data


def seconds(data: Any) -> float:
    """A finite number of seconds. Raises MalformedError."""
    if type(data) not in (int, float) or not abs(data) <= FLOAT_END:  # nor is NaN
        raise MalformedError(f"{shown(data)} is no number of seconds")
    return float(data)


def truth(data: Any) -> bool:
    """True or False. Raises MalformedError."""
    if type(data) is not bool:
        raise MalformedError(f"{shown(data)} is neither true nor false")
    return data


def some_bytes(data: Any) -> bytes:
    """What is written in base64. Raises MalformedError."""
    try:
        return base64.b64decode(text(data), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError("this is no base64") from None


PLAIN: Final[dict[Any, Callable[[Any], Any]]] = {
    str: text,
    int: whole_number,
    float: seconds,
    bool: truth,
    bytes: some_bytes,
}


def elements(data: Any) -> list[Any]:
    """A list as it is. Raises MalformedError."""
    if type(data) is not list:
        raise MalformedError(f"{shown(data)} is no list")
    return data


def word(data: Any, words: Sequence[str]) -> str:
    """One of these words. Raises MalformedError."""
    if type(data) is not str or data not in words:
        raise MalformedError(f"{shown(data)} is no word that this sockwatch knows")
    return data


def shown(data: Any) -> str:
    """Foreign data in a sentence."""
    if isinstance(data, list | dict):
        return "a list" if isinstance(data, list) else "an object"
    if data is None or isinstance(data, bool):
        return {None: "null", True: "true", False: "false"}[data]
    if isinstance(data, int) and abs(data) >= INT_END:
        return "a huge number"
    return clean(repr(data[:SHOWN] if isinstance(data, str) else data), SHOWN)
