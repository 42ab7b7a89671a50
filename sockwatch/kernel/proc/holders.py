"""Inode -> every (pid, fd) that holds it, from /proc.

A thread can have an fd table of its own (unshare(CLONE_FILES), or a leader that has exited), so
the tables of threads are read too, each table once: kcmp(2) shows which are the same.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from sockwatch.kernel import libc
from sockwatch.kernel.proc.pids import all_pids
from sockwatch.kernel.proc.proc_stat import read_stat
from sockwatch.model import Holder

SAME, LESS, GREATER = 0, 1, 2  # what kcmp(2) returns
AGAIN_AFTER_S: Final = 10.0  # sockets that nobody holds are looked for again
FDS_SHOWN: Final = 64  # of one process for one socket; it can have a million, all alike


class HolderScan(NamedTuple):
    """The result of one walk through /proc. `unreadable` counts processes that hide their fds."""

    holders: dict[int, tuple[Holder, ...]]
    unreadable: int


def scan(inodes: Iterable[int]) -> HolderScan:
    """Every holder of each of the socket inodes that this user may see."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    return _scan(wanted.get) if wanted else HolderScan({}, 0)


def scan_every_socket() -> HolderScan:
    """Every holder of every socket that this user may see, of whatever kind."""
    return _scan(socket_inode)


def _scan(inode_of: Callable[[str], int | None]) -> HolderScan:
    holders = HoldersByInode()
    unreadable = 0
    for pid in all_pids():
        readable = True
        for fd, inode in _sockets(pid, inode_of):
            if inode is None:
                readable = False
            else:
                holders.add(inode, pid, fd)
        unreadable += not readable and is_user_process(pid)
    return HolderScan(holders.holders(), unreadable)


def socket_inode(link: str) -> int | None:
    """The number in the link of an fd, as in proc_pid_fd(5); None if it is no socket."""
    return int(link[8:-1]) if link.startswith("socket:[") else None


def held_by(pids: Iterable[int], inodes: Iterable[int]) -> set[int]:
    """Those of the socket inodes that one of the processes has an fd of."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found = (inode for pid in pids for _, inode in _sockets(pid, wanted.get))
    return {inode for inode in found if inode is not None}


class HoldersByInode:
    """Collects holders; of the fds that one process has for one socket, the first FDS_SHOWN."""

    def __init__(self) -> None:
        self._fds: dict[int, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))

    def add(self, inode: int, pid: int, fd: int) -> None:
        """Take note of a holder; the same one may come again."""
        fds = self._fds[inode][pid]
        if len(fds) < FDS_SHOWN:
            fds.add(fd)

    def holders(self) -> dict[int, tuple[Holder, ...]]:
        """By the inode of the socket."""
        return {
            inode: tuple(Holder(pid, fd, None) for pid, fds in by_pid.items() for fd in sorted(fds))
            for inode, by_pid in self._fds.items()
        }


def _sockets(pid: int, inode_of: Callable[[str], int | None]) -> Iterator[tuple[int, int | None]]:
    """(fd, inode) of each wanted socket; an inode None once a table may not be read.

    `inode_of` returns it for the link of an fd, None if it is not wanted.
    """
    tables = fd_tables(pid)
    for table in tables:
        try:
            directory = os.open(table, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except PermissionError:
            yield -1, None
            return
        except OSError:
            continue
        try:
            for name in os.listdir(directory):
                try:
                    inode = inode_of(os.readlink(name, dir_fd=directory))
                except PermissionError:
                    yield -1, None
                    return
                except OSError:  # closed in between
                    continue
                if inode is not None:
                    yield int(name), inode
        except OSError:  # the process has exited
            continue
        finally:
            os.close(directory)


def fd_tables(pid: int) -> Iterator[str]:
    """The fd directory of the process, then of each thread that does not share a table with it."""
    yield f"/proc/{pid}/fd"
    try:
        # proc_task_getattr(): the link count is 2 plus the number of threads.
        if os.stat(f"/proc/{pid}/task").st_nlink <= 3:
            return
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    owners = [pid]  # of tables that differ, in the order that kcmp gives them
    for thread in map(int, threads):
        if thread == pid:
            continue
        index, is_known = _find_table(owners, thread)
        if not is_known:
            owners.insert(index, thread)
            yield f"/proc/{pid}/task/{thread}/fd"


def _find_table(owners: list[int], thread: int) -> tuple[int, bool]:
    """Where in the order the thread's table belongs, and whether one of the owners has it too.

    A search by halves: somebody may have thousands of threads with a table of their own.
    """
    low, high = 0, len(owners)
    while low < high:
        middle = (low + high) // 2
        order = _compare_tables(thread, owners[middle])
        if order == SAME:
            return middle, True
        if order == LESS:
            high = middle
        else:
            low = middle + 1
    return low, False


def _compare_tables(thread: int, other: int) -> int:
    """SAME, LESS or GREATER; GREATER also if one of them has exited or is hidden."""
    try:
        return libc.kcmp(thread, other, libc.KCMP_FILES)
    except OSError:
        return GREATER


def is_user_process(pid: int) -> bool:
    """Whether it exists and is no kernel thread."""
    stat = read_stat(pid)
    return stat is not None and not stat.is_kernel_thread
