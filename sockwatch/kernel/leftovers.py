"""The holders of the few servers that a pass of BPF over all fds did not show."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.proc.holders import AGAIN_AFTER_S, HoldersByInode, HolderScan, scan
from sockwatch.model import Holder, KernelError

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.rows import Records


class Leftovers:
    """Looks for them by another pass, in /proc where that fails or shows less.

    Most are newer than the pass, or closed by now. Some have no fd anywhere: what was not found is
    not looked for in every sample.
    """

    def __init__(self, pass_again: Callable[[], Records] | None = None) -> None:
        """`pass_again` raises KernelError, BpfUnavailable; None: BPF is not to be had."""
        self._pass_again = pass_again
        self._missing_since: dict[int, float] = {}  # by inode; time.monotonic()
        self._unreadable = 0

    def scan(self, inodes: set[int]) -> HolderScan:
        """Every holder of these inodes; none for those that a scan has just not found."""
        now = time.monotonic()
        self._missing_since = {
            inode: since
            for inode, since in self._missing_since.items()
            if now - since < AGAIN_AFTER_S
        }
        found: dict[int, tuple[Holder, ...]] = {}
        if wanted := inodes - self._missing_since.keys():
            shown = self._by_pass(wanted)
            found, self._unreadable = scan(wanted) if shown is None else (shown, 0)
            self._missing_since |= dict.fromkeys(wanted - found.keys(), now)
        return HolderScan(found, self._unreadable if inodes else 0)

    def _by_pass(self, inodes: set[int]) -> dict[int, tuple[Holder, ...]] | None:
        """None where it failed."""
        records = self._another_pass()
        return None if records is None else held(records, inodes)

    def _another_pass(self) -> Records | None:
        if self._pass_again is None or not _is_proc_ours():
            return None
        try:
            return self._pass_again()
        except (KernelError, BpfUnavailable):
            return None


def _is_proc_ours() -> bool:
    """Whether /proc is that of our pid namespace; of an outer one it shows more than BPF does."""
    return os.readlink("/proc/self") == str(os.getpid())


def held(records: Records, inodes: set[int]) -> dict[int, tuple[Holder, ...]]:
    """The holders that the records show of these inodes."""
    holders = HoldersByInode()
    for inode, pid, fd in records.fds():
        if inode in inodes:
            holders.add(inode, pid, fd)
    return holders.holders()
