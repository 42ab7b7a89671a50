"""End a process through a pidfd, and nobody who has got its number since.

pidfd_open(2) first: it pins the process. Then its start time and its sockets are compared with
those that were shown, and only then it is signalled, by pidfd_send_signal(2). Where /proc is that
of another pid namespace, the same number means another process: the kernel tells.
"""

from __future__ import annotations

import os
import re
import signal
from typing import Final, NamedTuple

from sockwatch.act.model import EndTarget
from sockwatch.kernel.proc.holders import held_by
from sockwatch.kernel.proc.proc_file import read_proc_file
from sockwatch.kernel.proc.proc_stat import ancestry, read_stat
from sockwatch.kernel.proc.processes import executable_of
from sockwatch.model import INIT_PID

STOPPED: Final = "T"  # proc_pid_stat(5)
GONE: Final = frozenset({"Z", "X"})
ENDED: Final = -1  # pidfd_show_fdinfo() of fs/pidfs.c
ELSEWHERE: Final = "cannot be signalled: /proc is that of another pid namespace"


class Mismatch(NamedTuple):
    """Why a target is not signalled. `is_gone`: it has ended, so that there is nothing to do."""

    text: str
    is_gone: bool = False


class Pinned:
    """A target by its pidfd. close() it."""

    def __init__(self, target: EndTarget) -> None:
        """Raises OSError: ESRCH where no process has that pid, ENOSYS before Linux 5.3."""
        self.target = target
        self._pidfd = os.pidfd_open(target.pid)

    def fileno(self) -> int:
        """Readable once it has ended, pidfd_open(2)."""
        return self._pidfd

    def close(self) -> None:
        """Close the pidfd."""
        os.close(self._pidfd)

    def mismatch(self, *, with_socket: bool = True) -> Mismatch | None:
        """How the pinned process differs from what was shown; None if it may be signalled.

        `with_socket`: it has to hold one of the sockets still.
        """
        target = self.target
        stat = read_stat(target.pid)
        if stat is None or stat.state in GONE or (seen := _pid_by_proc(self._pidfd)) == ENDED:
            return Mismatch(f"{target.name} has ended", is_gone=True)
        if stat.start_ticks != target.process.start_ticks:
            return Mismatch(f"{target.name} has ended; another process has its pid", is_gone=True)
        if seen != target.pid:
            return Mismatch(f"{target.name} {ELSEWHERE}")
        is_own = target.pid == os.getpid() or target.pid in own_ancestors()
        is_kernels = executable_of(target.pid) is None
        if target.pid == INIT_PID or (is_kernels and stat.is_kernel_thread) or is_own:
            return Mismatch(f"{target.name} is never ended from here")
        if with_socket and not held_by((target.pid,), target.inodes):
            return Mismatch(f"{target.name} does not hold the socket any more", is_gone=True)
        return None

    def signal(self, number: signal.Signals) -> None:
        """Send it. Raises OSError: ESRCH where it has ended, EPERM where we may not."""
        signal.pidfd_send_signal(self._pidfd, number)

    def is_stopped(self) -> bool:
        """Whether it sees a SIGTERM only after SIGCONT."""
        stat = read_stat(self.target.pid)
        return stat is not None and stat.state == STOPPED


def is_there(target: EndTarget) -> bool:
    """Whether /proc shows the target as it was shown, still running."""
    stat = read_stat(target.pid)
    return (
        stat is not None
        and stat.state not in GONE
        and stat.start_ticks == target.process.start_ticks
    )


def _pid_by_proc(pidfd: int) -> int | None:
    """The process as /proc numbers it; ENDED if its parent has waited for it, None if not told."""
    text = read_proc_file(f"/proc/self/fdinfo/{pidfd}", 4096)
    found = re.search(rb"^Pid:\s*(-?[0-9]+)$", text, re.MULTILINE)
    return int(found[1]) if found else None


def own_ancestors() -> frozenset[int]:
    """The pids of our parent, of its parent, and so on."""
    stat = read_stat(os.getpid())
    return frozenset(pid for pid, _ in ancestry(stat)) if stat is not None else frozenset()
