"""/proc/PID/stat: the few fields that every sample reads of every holder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

KTHREADD_PID: Final = 2
MOST_ANCESTORS: Final = 64


class ProcessStat(NamedTuple):
    """`start_ticks` counts clock ticks since boot: with the pid it names a process for good."""

    comm: bytes
    state: str
    parent_pid: int
    start_ticks: int

    @property
    def is_kernel_thread(self) -> bool:
        """Whether it is a child of kthreadd, and so has no fds."""
        return self.parent_pid == KTHREADD_PID


class ProcessRecord(NamedTuple):
    """What one look at a process told.

    `uid` is the effective one, `cgroup_id` that of cgroup v2, and `execs` differs after each
    execve(2). They are None where only /proc/PID/stat was read.
    """

    stat: ProcessStat
    uid: int | None = None
    cgroup_id: int | None = None
    execs: int | None = None

    def is_same(self, other: ProcessRecord) -> bool:
        """Whether it is the same process as in the other look, and runs the same program as is.

        The state and the parent may differ.
        """
        one, two = self.stat, other.stat
        return self[1:] == other[1:] and (one.start_ticks, one.comm) == (two.start_ticks, two.comm)


def read_stat(pid: int) -> ProcessStat | None:
    """proc_pid_stat(5) of the process, or None if it has exited or is hidden."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read()
    except OSError:
        return None
    return parse_stat(text)


def ancestry(
    stat: ProcessStat, read: Callable[[int], ProcessStat | None] = read_stat
) -> Iterator[tuple[int, ProcessStat]]:
    """The pid and stat of the parent, of its parent, and so on, as far as they can be read.

    A parent that is younger is none: it got the pid of one that has exited meanwhile.
    """
    for _ in range(MOST_ANCESTORS):
        pid = stat.parent_pid
        parent = read(pid) if pid else None
        if parent is None or parent.start_ticks > stat.start_ticks:
            return
        yield pid, parent
        stat = parent


def parse_stat(text: bytes) -> ProcessStat | None:
    """The fields of a stat line; the comm in parentheses may itself hold anything."""
    left, right = text.find(b"("), text.rfind(b")")
    fields = text[right + 1 :].split()
    try:
        return ProcessStat(
            text[left + 1 : right], fields[0].decode("ascii"), int(fields[1]), int(fields[19])
        )
    except (IndexError, ValueError):
        return None
