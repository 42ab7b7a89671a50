"""Which holder of a socket comes first, and whether the sockets of an address had one start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from sockwatch.model import Holder, Process, Socket

ONE_START_S: Final = 5.0  # workers of one start come within seconds of each other


def eldest_first(holders: Iterable[Holder]) -> list[Holder]:
    """One holder of each process, the one that stands for all of them first.

    That is a process that could be identified and whose parent is not a holder; of several, the
    one with the most holders among its descendants, then the one with the lowest pid.
    """
    by_pid: dict[int, Holder] = {}
    for holder in holders:
        by_pid.setdefault(holder.pid, holder)
    if len(by_pid) <= 1:
        return list(by_pid.values())
    parents = {h.pid: h.process.parent_pid for h in by_pid.values() if h.process is not None}
    descendants = Counter(
        ancestor for pid in parents for ancestor in _ancestors(pid, parents) if ancestor in by_pid
    )

    def rank(holder: Holder) -> tuple[bool, bool, int, int]:
        has_parent = parents.get(holder.pid) in by_pid
        return holder.process is None, has_parent, -descendants[holder.pid], holder.pid

    return sorted(by_pid.values(), key=rank)


def members(sockets: Iterable[Socket]) -> list[Process]:
    """The process that each socket goes back to, the first of its holders; each process once."""
    by_pid: dict[int, Process] = {}
    for socket in sockets:
        for holder in eldest_first(socket.holders)[:1]:
            if holder.process is not None:
                by_pid[holder.pid] = holder.process
    return list(by_pid.values())


def first_and_last(started: list[Process]) -> tuple[Process, Process] | None:
    """The first and the last to start; None if there was only one start."""
    if not started:
        return None
    first = min(started, key=lambda process: process.start_time)
    last = max(started, key=lambda process: process.start_time)
    return (first, last) if last.start_time - first.start_time > ONE_START_S else None


def differ(started: list[Process]) -> Literal["program", "user", "start"] | None:
    """In what these processes are not of one start; None if they are, or fewer than two."""
    if len({process.executable or process.name for process in started}) > 1:
        return "program"
    if len({process.uid for process in started}) > 1:
        return "user"
    return None if first_and_last(started) is None else "start"


def _ancestors(pid: int, parents: Mapping[int, int | None]) -> set[int]:
    """The pids above `pid`, as far as `parents` tells. Ends if reused pids form a loop."""
    pids: set[int] = set()
    parent = parents.get(pid)
    while parent is not None and parent != pid and parent not in pids:
        pids.add(parent)
        parent = parents.get(parent)
    return pids
