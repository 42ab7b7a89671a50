"""Something done by another thread meanwhile, or by this one when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

Result = TypeVar("Result")


@contextmanager
def beside(function: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Run `function` in a thread meanwhile; where none can be started, when it is asked for."""
    with ThreadPoolExecutor(1) as threads:
        try:
            future = threads.submit(function)
        except RuntimeError:  # RLIMIT_NPROC, or pids.max of the cgroup
            future = None
        yield function if future is None else future.result


@contextmanager
def at_once(function: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Run `function` when it is first asked for: one that is short is not worth a thread."""
    yield cache(function)
