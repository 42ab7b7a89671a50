"""Numbers, times, endpoints and processes, each written the same way everywhere."""

from __future__ import annotations

import math

_STEPS = ((86_400, "d"), (3_600, "h"), (60, "m"))
UNKNOWN = "?"


def short_count(count: int) -> str:
    """`count` in at most four characters up to a million: ``801``, ``1.2k``, ``28k``, ``3.1M``.

    Rounds down, so that a limit never looks reached before it is.
    """
    for step, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= 10 * step:
            return f"{count // step}{letter}"
        if count >= step:
            tenths = count * 10 // step
            return f"{tenths // 10}.{tenths % 10}{letter}"
    return str(count)


def duration(seconds: float | None) -> str:
    """A time span with one unit: ``41s``, ``5m``, ``3h``, ``12d``; ``?`` if unknown."""
    return _span(seconds, "")


def spoken_duration(seconds: float | None) -> str:
    """The same for sentences: ``41 s``, ``5 min``, ``3 h``, ``12 d``."""
    text = _span(seconds, " ")
    return f"{text}in" if text.endswith("m") else text


def clock(seconds: float | None) -> str:
    """The seconds left on a timer, rounded up: ``41s``; ``?`` if unknown."""
    return UNKNOWN if seconds is None else f"{max(0, math.ceil(seconds))}s"


def spoken_clock(seconds: float | None) -> str:
    """The same for sentences: ``41 s``."""
    return UNKNOWN if seconds is None else f"{max(0, math.ceil(seconds))} s"


def plural(count: int, singular: str, many: str | None = None) -> str:
    """``1 socket``, ``2 sockets``; `many` is for words that take no ``s``."""
    return f"{count} {singular if count == 1 else many or singular + 's'}"


def verb(count: int, singular: str) -> str:
    """The verb for `count` subjects: ``has`` or ``have``, ``listens`` or ``listen``."""
    if count == 1:
        return singular
    return {"has": "have", "is": "are"}.get(singular, singular.removesuffix("s"))


def endpoint(address: str, port: int | None) -> str:
    """``0.0.0.0:8080``, ``[::1]:8080``; ``?`` stands for a port that is not known."""
    return f"{host(address)}:{UNKNOWN if port is None else port}"


def host(address: str) -> str:
    """``0.0.0.0``, ``[::1]``: an address as it stands in an endpoint."""
    return f"[{address}]" if ":" in address else address


def process_name(name: str | None, pid: int | None) -> str:
    """``nginx(812)``; ``?`` stands for a name or pid that is not known."""
    return f"{name or UNKNOWN}({UNKNOWN if pid is None else pid})"


def _span(seconds: float | None, gap: str) -> str:
    if seconds is None:
        return UNKNOWN
    whole = max(0, int(seconds))
    for step, letter in _STEPS:
        if whole >= step:
            return f"{whole // step}{gap}{letter}"
    return f"{whole}{gap}s"
