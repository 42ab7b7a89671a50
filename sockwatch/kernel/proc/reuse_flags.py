"""SO_REUSEADDR and SO_REUSEPORT of sockets that have an fd, by pidfd_getfd(2), and remembered."""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final

from sockwatch.kernel.expendable import call_each
from sockwatch.kernel.proc.pidfd import open_pidfd, socket_options
from sockwatch.model import Holder, SocketOptions

REMEMBERED: Final = "remembered"


def read_options(
    inodes: Iterable[int], holders: Mapping[int, tuple[Holder, ...]]
) -> dict[int, SocketOptions]:
    """The options of sockets by inode, of those with a holder that we may inspect."""
    by_inode: dict[int, SocketOptions] = {}
    by_pid: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for inode in inodes:
        for holder in holders.get(inode, ()):
            by_pid[holder.pid].append((holder.fd, inode))

    def read(pid: int) -> bool:
        sockets = [(fd, inode) for fd, inode in by_pid[pid] if inode not in by_inode]
        return not sockets or _read_process(pid, sockets, by_inode)

    for outcome in call_each(by_pid, read):
        if outcome.result is False:
            break
    return dict(by_inode)


def _read_process(
    pid: int, sockets: list[tuple[int, int]], by_inode: dict[int, SocketOptions]
) -> bool:
    """Whether this kernel can do it at all: linux 5.6, and not hidden by a sandbox."""
    try:
        with open_pidfd(pid) as pidfd:
            _read_sockets(pidfd, sockets, by_inode)
    except OSError as error:
        return error.errno != errno.ENOSYS
    return True


def _read_sockets(
    pidfd: int, sockets: list[tuple[int, int]], by_inode: dict[int, SocketOptions]
) -> None:
    for fd, inode in sockets:
        if inode in by_inode:
            continue
        try:
            options = socket_options(pidfd, fd, inode)
        except OSError as error:
            if error.errno == errno.EBADF:  # closed in between; the next fd may be fine
                continue
            # What is refused for one fd of a process is refused for all of them.
            raise
        if options is not None:
            by_inode[inode] = options


class Memory:
    """The options that sockets had when a way could see them, by cookie.

    A TIME_WAIT keeps the cookie of its socket (net/ipv4/inet_timewait_sock.c), so what a
    connection had is known for its TIME_WAIT.
    """

    def __init__(self) -> None:
        self._options: dict[int, SocketOptions] = {}

    @property
    def options(self) -> Mapping[int, SocketOptions]:
        """What is remembered, by cookie; its source is `REMEMBERED`."""
        return self._options

    def keep(self, seen: Mapping[int, SocketOptions]) -> None:
        """Remember these options by cookie, in place of older ones."""
        for cookie, options in seen.items():
            flags = options.flags._replace(source=REMEMBERED)
            self._options.pop(cookie, None)  # what was read last comes last
            self._options[cookie] = options._replace(flags=flags)

    def oldest(self, among: AbstractSet[int], count: int) -> set[int]:
        """The cookies whose options were read longest ago: their program may have changed them."""
        if len(among) <= count:
            return set(among)
        return set(islice((cookie for cookie in self._options if cookie in among), count))

    def forget_others(self, cookies: set[int]) -> None:
        """Drop what is remembered of sockets that no longer exist."""
        for cookie in self._options.keys() - cookies:
            del self._options[cookie]
