"""The fds of every process that may be read, kept from poll to poll.

A walk through all of /proc costs a readlink(2) an fd. Here a process is read again if its fd
directory is another one or has another number of fds (proc_pid_fd(5); since 6.2), if a socket of
the dump is held by nobody known or a known one is gone, and once in SHARES polls in any case: an fd
may have been closed and its number used again in between.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from sockwatch.kernel.proc.holders import (
    AGAIN_AFTER_S,
    HoldersByInode,
    fd_tables,
    is_user_process,
)
from sockwatch.kernel.proc.pids import all_pids
from sockwatch.model import Holder

SHARES: Final = 16
NO_SOCKET: Final = 0


class FdTable(NamedTuple):
    """The inode of each fd of one table; NO_SOCKET for what is no socket."""

    path: str
    inodes: dict[int, int]


class _Known(NamedTuple):
    """What was read of a process; `tables` is None if its fds may not be read."""

    mark: tuple[int, int]
    tables: list[FdTable] | None


class FdTables:
    """Update it with the inodes of a dump, then ask who holds them. Use it from one thread."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._found: set[int] = set()  # inodes that somebody holds
        self._unfound: set[int] = set()  # inodes that nobody known holds, when that was asked last
        self._asked_at = 0.0  # time.monotonic()
        self._turn = 0

    @property
    def unreadable(self) -> int:
        """How many processes hide their fds."""
        return sum(known.tables is None for known in self._known.values())

    def update(self, live: set[int]) -> None:
        """Read what may have changed since the last call; `live` are the inodes of the dump."""
        now = time.monotonic()
        if now - self._asked_at > AGAIN_AFTER_S:
            self._unfound = set()
        missing = live - self._found - self._unfound
        dead = self._found - live
        self._turn = (self._turn + 1) % SHARES
        pids = set(all_pids())
        for pid in self._known.keys() - pids:
            del self._known[pid]
        for pid in pids:
            self._read(pid, live, changed=bool(missing or dead))
        if missing or dead or self._turn == 0:
            held = {inode for table in self._tables() for inode in table[1].inodes.values()}
            self._found = held & live
            self._unfound = live - held
            if missing:
                self._asked_at = now

    def holders(self, inodes: set[int]) -> dict[int, tuple[Holder, ...]]:
        """Every holder of these sockets by inode."""
        found = HoldersByInode()
        for pid, table in self._tables():
            for fd, inode in table.inodes.items():
                if inode in inodes:
                    found.add(inode, pid, fd)
        return found.holders()

    def holders_of_groups(self, group_of: Mapping[int, int]) -> dict[int, list[Holder]]:
        """By group, one fd of each process that holds a member; `group_of` is by inode."""
        found: dict[int, list[Holder]] = {}
        for pid, table in self._tables():
            fds = {group_of.get(inode): fd for fd, inode in table.inodes.items()}
            for group, fd in fds.items():
                if group is not None:
                    found.setdefault(group, []).append(Holder(pid, fd, None))
        return found

    def _tables(self) -> Iterator[tuple[int, FdTable]]:
        for pid, known in self._known.items():
            for table in known.tables or ():
                yield pid, table

    def _read(self, pid: int, live: set[int], *, changed: bool) -> None:
        known = self._known.get(pid)
        try:
            status = os.stat(f"/proc/{pid}/fd")
        except OSError:
            self._known.pop(pid, None)
            return
        mark = (status.st_ino, status.st_size)
        is_its_turn = pid % SHARES == self._turn
        if known is not None and known.mark == mark and not changed and not is_its_turn:
            return
        before = {}
        if known is not None and known.mark[0] == mark[0] and not is_its_turn:
            before = {table.path: table.inodes for table in known.tables or ()}
            if known.tables is None:
                return
        try:
            tables = [_read_table(path, before.get(path, {}), live) for path in fd_tables(pid)]
        except PermissionError:
            if is_user_process(pid):
                self._known[pid] = _Known(mark, None)
            return
        self._known[pid] = _Known(mark, tables)


def _read_table(path: str, before: Mapping[int, int], live: set[int]) -> FdTable:
    """The fds of a table; what is known of an fd stays unless its socket is gone.

    Raises PermissionError.
    """
    inodes: dict[int, int] = {}
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        raise
    except OSError:
        return FdTable(path, inodes)
    try:
        for name in _names(directory):
            fd = int(name)
            inode = before.get(fd)
            if inode is None or (inode != NO_SOCKET and inode not in live):
                inode = _inode(name, directory)
            if inode is not None:
                inodes[fd] = inode
    finally:
        os.close(directory)
    return FdTable(path, inodes)


def _names(directory: int) -> Iterable[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:  # the process has exited
        return ()


def _inode(name: str, directory: int) -> int | None:
    """None if the fd has been closed in between. Raises PermissionError."""
    try:
        link = os.readlink(name, dir_fd=directory)
    except FileNotFoundError:
        return None
    return int(link[8:-1]) if link.startswith("socket:[") else NO_SOCKET
