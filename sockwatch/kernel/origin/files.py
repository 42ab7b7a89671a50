"""The files of container runtimes, which are read with distrust.

Only what root has put where root alone may write is believed. A file system may answer nobody:
what is asked of one is asked in a thread that can be left behind, and while one is, nothing more is
asked.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple, TypeVar

from sockwatch.kernel.expendable import call

MOST_BYTES: Final = 4 << 20  # containers.json takes some 500 a container
MOST_ENTRIES: Final = 10_000  # of a folder
MOST_REMEMBERED: Final = 1024
_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
Answer = TypeVar("Answer")


class _Version(NamedTuple):
    device: int
    inode: int
    size: int
    changed_ns: int


class Documents:
    """Reads JSON files below a folder, each again when it has changed.

    Of the objects in them `keys` are kept: what else is in one may be megabytes of others' text.
    """

    def __init__(self, keys: Collection[str]) -> None:
        self._keys = keys
        self._remembered: dict[tuple[str, ...], tuple[_Version, Any]] = {}

    def read(self, root: str, *parts: str) -> Any:
        """The document; None if there is none that can be read, or that is root's.

        `root` may be a symlink; nothing below it may. Values nest at most as deep as json.loads()
        goes. What the document holds, nobody vouches for.
        """
        path = (root, *parts)
        try:
            with _opened(root, parts) as fd:
                found = os.fstat(fd)
                if not stat.S_ISREG(found.st_mode) or found.st_uid or found.st_size > MOST_BYTES:
                    return None
                version = _Version(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
                remembered = self._remembered.get(path)
                if remembered is not None and remembered[0] == version:
                    return remembered[1]
                text = _read(fd, found.st_size)
        except (OSError, ValueError):  # a path with a NUL in it
            return None
        import json  # noqa: PLC0415 - takes 3 ms, and few hosts have a container

        document = None
        with suppress(ValueError, RecursionError):
            document = self._kept(json.loads(text))
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[path] = version, document
        return document

    def _kept(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._kept(each) for each in value]
        if isinstance(value, dict):
            return {key: self._kept(each) for key, each in value.items() if key in self._keys}
        return value


@contextmanager
def _opened(root: str, parts: tuple[str, ...]) -> Iterator[int]:
    """The last of the parts, each looked up in the one before."""
    fd = os.open(root, _FOLDER)
    try:
        for part in parts[:-1]:
            fd, above = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=fd), fd
            os.close(above)
        fd, above = os.open(parts[-1], _FILE, dir_fd=fd), fd
        os.close(above)
        yield fd
    finally:
        os.close(fd)


def _read(fd: int, size: int) -> bytes:
    """All of a file of that size; raises OSError if it has grown meanwhile."""
    text = bytearray()
    while chunk := os.read(fd, size + 1 - len(text)):
        text += chunk
        if len(text) > size:
            raise OSError(errno.EFBIG, "")
    return bytes(text)


def entries(folder: str) -> list[str]:
    """Names in the folder, in no order, at most MOST_ENTRIES; none if it is not root's."""
    try:
        if os.stat(folder).st_uid:
            return []
        with os.scandir(folder) as listing:
            return [entry.name for entry, _ in zip(listing, range(MOST_ENTRIES), strict=False)]
    except (OSError, ValueError):
        return []


class _Waiting(NamedTuple):
    """A call that was left behind; `began` and `ended` say how far it has come."""

    began: threading.Event
    ended: threading.Event


_left_behind: list[_Waiting] = []


def in_time(function: Callable[[], Answer]) -> Answer | None:
    """What the function returns; None where that takes too long, or an earlier one still waits."""
    _left_behind[:] = [waiting for waiting in _left_behind if not waiting.ended.is_set()]
    if _left_behind:
        return None
    waiting = _Waiting(threading.Event(), threading.Event())

    def ask() -> Answer:
        waiting.began.set()
        try:
            return function()
        finally:
            waiting.ended.set()

    answer = call(ask)
    if waiting.began.is_set() and not waiting.ended.is_set():
        _left_behind.append(waiting)
    return answer
