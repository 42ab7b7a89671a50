"""The processes that hold a port: each once, and as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sockwatch.bind.generations import eldest_first

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sockwatch.model import Holder, Port


class Branch(NamedTuple):
    """A holding process in the tree.

    `last` has a value for each level below the root: whether the branch there is its parent's last.
    """

    holder: Holder
    fds: tuple[int, ...]
    last: tuple[bool, ...]


def distinct(holders: Iterable[Holder]) -> dict[int, Holder]:
    """The first holder of each process, by pid."""
    by_pid: dict[int, Holder] = {}
    for holder in holders:
        by_pid.setdefault(holder.pid, holder)
    return by_pid


def first(port: Port) -> Holder | None:
    """The holder that stands for all, as eldest_first() has it; None if no holder was seen."""
    return next(iter(eldest_first(port.holders)), None)


def tree(holders: Iterable[Holder]) -> tuple[Branch, ...]:
    """Every holding process once, each parent before its children, else as eldest_first()."""
    fds: dict[int, list[int]] = {}
    for holder in (holders := tuple(holders)):
        fds.setdefault(holder.pid, []).append(holder.fd)
    by_pid = {holder.pid: holder for holder in eldest_first(holders)}
    children: dict[int | None, list[int]] = {}
    for pid, holder in by_pid.items():
        parent = holder.process.parent_pid if holder.process else None
        children.setdefault(parent if parent in by_pid and parent != pid else None, []).append(pid)
    branches: list[Branch] = []
    seen: set[int] = set()
    # A loop of parents cannot be, but pids are reused between two reads: start at any left over.
    for root in [*children.get(None, []), *by_pid]:
        stack: list[tuple[int, tuple[bool, ...]]] = [(root, ())]
        while stack:
            pid, last = stack.pop()
            if pid in seen:
                continue
            seen.add(pid)
            branches.append(Branch(by_pid[pid], tuple(sorted(set(fds[pid]))), last))
            below = children.get(pid, [])
            for index, child in reversed(list(enumerate(below))):
                stack.append((child, (*last, index == len(below) - 1)))
    return tuple(branches)
