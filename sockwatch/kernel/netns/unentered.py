"""Ways to namespaces that no process or thread is in, and that have no name here."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from sockwatch.kernel.netns import opening
from sockwatch.kernel.netns.names import netns_mounts
from sockwatch.kernel.proc.pids import all_pids

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.netns_iterators import Keeper

Way: TypeAlias = Callable[[int, int | None], int | None]  # (inode, id) -> an fd of it, or None
AGAIN_AFTER_S: Final = 60.0  # a search reads every fd, and the mounts of every mount namespace
MOST_MOUNT_NAMESPACES: Final = 256
MOST_WAYS: Final = 4  # to one namespace


class SearchedWays:
    """What was found by the last search: by fds and sockets, and where others have mounted it."""

    def __init__(self) -> None:
        self._ways: dict[int, list[Way]] = {}
        self._in_vain: Mapping[int, int | None] = {}
        self._searched_at = float("-inf")

    def to(self, inode: int) -> Sequence[Way]:
        """The ways to the namespace with that number."""
        return self._ways.get(inode, ())

    def search(self, wanted: Mapping[int, int | None], keepers: Callable[[], list[Keeper]]) -> bool:
        """Search for ways to these, by inode with their ids, and return true.

        Unless that was done, for all of them and in vain, within AGAIN_AFTER_S.
        """
        now = time.monotonic()
        if wanted.items() <= self._in_vain.items() and now - self._searched_at < AGAIN_AFTER_S:
            return False
        self._searched_at = now
        ways: dict[int, list[Way]] = defaultdict(list)
        self._ways = ways
        for inode, pid, fd, is_socket in keepers():
            if inode in wanted and len(ways[inode]) < MOST_WAYS:
                open_it = opening.of_socket if is_socket else opening.of_fd
                ways[inode].append(partial(open_it, pid, fd))
        if wanted.keys() - ways.keys():
            self._search_mounts(wanted.keys() - ways.keys())
        return True

    def keep_in_vain(self, inodes: Collection[int], wanted: Mapping[int, int | None]) -> None:
        """Say to which of the `wanted` the last search has found no way that works.

        Others may be given the number of one that ends; before Linux 6.18 nothing else tells them
        apart.
        """
        self._in_vain = {inode: wanted[inode] for inode in inodes}

    def forget_others(self, inodes: Collection[int]) -> None:
        """Forget those that are not among these: they have ended."""
        self._in_vain = {i: identity for i, identity in self._in_vain.items() if i in inodes}

    def _search_mounts(self, wanted: Collection[int]) -> None:
        for pid in _one_of_each_mount_namespace():
            for mount in netns_mounts(f"/proc/{pid}/mountinfo"):
                ways = self._ways.setdefault(mount.inode, [])
                if mount.is_safe and mount.inode in wanted and len(ways) < MOST_WAYS:
                    ways.append(partial(opening.of_path_elsewhere, pid, mount.path))


def _one_of_each_mount_namespace() -> Collection[int]:
    """A process of each mount namespace but ours."""
    seen: dict[str, int] = {}
    with suppress(OSError):
        own = os.readlink("/proc/thread-self/ns/mnt")
        for pid in all_pids():
            if len(seen) < MOST_MOUNT_NAMESPACES:
                with suppress(OSError):
                    seen.setdefault(os.readlink(f"/proc/{pid}/ns/mnt"), pid)
        seen.pop(own, None)
    return seen.values()
