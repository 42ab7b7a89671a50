"""Who holds a port: distinct processes, parents before their children."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sockwatch.model import Holder, Port


class Branch(NamedTuple):
    """A holding process in the tree of its kind. `last` tells for each level whether it ends."""

    holder: Holder
    fds: tuple[int, ...]
    last: tuple[bool, ...]


def distinct(holders: Iterable[Holder]) -> dict[int, Holder]:
    """The first holder of each process."""
    found: dict[int, Holder] = {}
    for holder in holders:
        found.setdefault(holder.pid, holder)
    return found


def first(port: Port) -> Holder | None:
    """The holder that stands for all: the one most others descend from, else the lowest pid."""
    by_pid = distinct(port.holders)
    if len(by_pid) <= 1:
        return next(iter(by_pid.values()), None)
    return max(
        (b for b in tree(port.holders) if len(b.last) == 0),
        key=lambda root: (_descendants(root.holder.pid, by_pid), -root.holder.pid),
    ).holder


def _parent(holder: Holder) -> int | None:
    return holder.process.parent_pid if holder.process else None


def _descendants(pid: int, by_pid: dict[int, Holder]) -> int:
    return sum(1 for holder in by_pid.values() if _parent(holder) == pid)


def tree(holders: Iterable[Holder]) -> tuple[Branch, ...]:
    """Every holding process once, each parent before its children, by pid."""
    fds: dict[int, list[int]] = {}
    by_pid: dict[int, Holder] = {}
    for holder in holders:
        by_pid.setdefault(holder.pid, holder)
        fds.setdefault(holder.pid, []).append(holder.fd)
    children: dict[int | None, list[int]] = {}
    for pid in sorted(by_pid):
        parent = _parent(by_pid[pid])
        children.setdefault(parent if parent in by_pid and parent != pid else None, []).append(pid)
    branches: list[Branch] = []
    seen: set[int] = set()
    # A loop of parents cannot be, but pids are reused between two reads: start at any left over.
    for root in [*children.get(None, []), *sorted(by_pid)]:
        stack: list[tuple[int, tuple[bool, ...]]] = [(root, ())]
        while stack:
            pid, last = stack.pop()
            if pid in seen:
                continue
            seen.add(pid)
            branches.append(Branch(by_pid[pid], tuple(sorted(set(fds[pid]))), last))
            below = children.get(pid, [])
            for place, child in reversed(list(enumerate(below))):
                stack.append((child, (*last, place == len(below) - 1)))
    return tuple(branches)
