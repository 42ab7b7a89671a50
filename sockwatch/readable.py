"""Wait for files to be readable, whatever their numbers: select(2) takes no fd above 1,023."""

from __future__ import annotations

from collections.abc import Iterable
from selectors import EVENT_READ, PollSelector
from typing import Protocol, TypeVar


class HasFd(Protocol):
    """Something that has an fd."""

    def fileno(self) -> int:
        """Its number."""


File = TypeVar("File", bound=int | HasFd)


def readable(files: Iterable[File], timeout_s: float | None = None) -> list[File]:
    """Those that can be read, or whose other end is closed; empty after `timeout_s` without any."""
    with PollSelector() as selector:
        for file in files:
            selector.register(file, EVENT_READ, file)
        return [key.data for key, _ in selector.select(timeout_s)]
