"""SO_REUSEADDR and SO_REUSEPORT of sockets that have an fd, by pidfd_getfd(2)."""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from sockwatch.kernel.pidfd import open_pidfd, reuse_options
from sockwatch.model import Holder, ReuseFlags

SOURCE: Final = "pidfd_getfd"


class FlagReading(NamedTuple):
    """Flags by inode, and why some are missing."""

    flags: dict[int, ReuseFlags]
    not_permitted: int
    not_supported: bool


def read_flags(inodes: Iterable[int], holders: Mapping[int, tuple[Holder, ...]]) -> FlagReading:
    """The flags of each inode with a holder that lets us look; holders are asked in turn."""
    flags: dict[int, ReuseFlags] = {}
    refused: set[int] = set()
    by_pid: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for inode in inodes:
        for holder in holders.get(inode, ()):
            by_pid[holder.pid].append((holder.fd, inode))
    for pid, sockets in by_pid.items():
        if all(inode in flags for _, inode in sockets):
            continue
        try:
            with open_pidfd(pid) as pidfd:
                _read_process(pidfd, sockets, flags, refused)
        except OSError as error:
            if error.errno == errno.ENOSYS:
                return FlagReading(flags, 0, not_supported=True)
            if error.errno == errno.EPERM:
                refused.update(inode for _, inode in sockets)
    return FlagReading(flags, len(refused - flags.keys()), not_supported=False)


def _read_process(
    pidfd: int,
    sockets: list[tuple[int, int]],
    flags: dict[int, ReuseFlags],
    refused: set[int],
) -> None:
    for fd, inode in sockets:
        if inode in flags:
            continue
        try:
            options = reuse_options(pidfd, fd, inode)
        except OSError as error:
            if error.errno in (errno.ENOSYS, errno.EPERM):
                # What is refused for one fd of a process is refused for all of them.
                raise
            refused.add(inode)
            continue
        if options is not None:
            flags[inode] = ReuseFlags(*options, SOURCE)
