"""Calls that may block for ever, made by a thread that can be left behind.

Reading a process's memory waits for its mmap lock, which a dead disk may hold; lstat(2) waits for
a dead NFS server; close(2) lingers. All of these waits end when this process is killed or exits
(they are killable), so a daemon thread left in one costs a thread and nothing else.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

LIMIT_S: Final = 0.3  # such a call takes microseconds unless something is stuck


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item, Result]):
    """`result` is None if the call on `item` was left behind, or never made."""

    item: Item
    result: Result | None
    was_made: bool = True


def call_each(
    items: Iterable[Item],
    function: Callable[[Item], Result],
    *,
    limit_s: float = LIMIT_S,
    most_left_behind: int = 3,
) -> Iterator[Outcome[Item, Result]]:
    """`function` of each item in turn, with at most `limit_s` seconds for one of them.

    A call that takes longer is left behind, and after `most_left_behind` of those the remaining
    items are not tried; nor are they where this process may not start a thread. The calls see the
    network namespace of the caller. `function` must not raise.
    """
    waiting = deque(items)
    left_behind = 0
    while waiting and left_behind < most_left_behind:
        caller = _Caller(tuple(waiting), function)
        try:
            caller.start()
        except RuntimeError:  # no more threads: RLIMIT_NPROC, or pids.max of the cgroup
            break
        try:
            while waiting:
                result = caller.results.get(timeout=limit_s)
                yield Outcome(waiting.popleft(), result)
        except Empty:
            left_behind += 1
            yield Outcome(waiting.popleft(), None)
        finally:
            caller.is_left_behind = True
    for item in waiting:
        yield Outcome(item, None, was_made=False)


def call(function: Callable[[], Result], *, limit_s: float = LIMIT_S) -> Result | None:
    """What `function` returns, or None if it took longer and was left behind. It must not raise."""
    (outcome,) = call_each((function,), lambda function: function(), limit_s=limit_s)
    return outcome.result


class _Caller(threading.Thread, Generic[Item, Result]):
    def __init__(self, items: tuple[Item, ...], function: Callable[[Item], Result]) -> None:
        super().__init__(name="expendable", daemon=True)
        self.results: SimpleQueue[Result] = SimpleQueue()
        self.is_left_behind = False
        self._items = items
        self._function = function

    def run(self) -> None:
        for item in self._items:
            if self.is_left_behind:
                return
            self.results.put(self._function(item))
