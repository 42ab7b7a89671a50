"""Who started the sockets of one address, and whether that was one start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sockwatch.model import Process, Socket

ONE_START_S: Final = 5.0  # workers that one start makes come within seconds of each other


def members(sockets: Iterable[Socket]) -> list[Process]:
    """For each socket the process it goes back to: the holder whose parent holds it not."""
    found: dict[int, Process] = {}
    for sock in sockets:
        held = {h.pid: h.process for h in sock.holders if h.process is not None}
        roots = [p for p in held.values() if p.parent_pid not in held]
        if roots:
            first = min(roots, key=lambda process: process.pid)
            found[first.pid] = first
    return list(found.values())


def first_and_last(started: list[Process]) -> tuple[Process, Process] | None:
    """The first and the last to start, if more than one start lies between them."""
    if not started:
        return None
    first = min(started, key=lambda process: process.start_time)
    last = max(started, key=lambda process: process.start_time)
    return (first, last) if last.start_time - first.start_time > ONE_START_S else None
