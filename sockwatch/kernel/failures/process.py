"""Which process failed: from /proc while it lives, else from the kernel's record."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from sockwatch.kernel import host
from sockwatch.kernel.failures.rows import SEEN_COMMAND, SEEN_TASK, FailureRow
from sockwatch.kernel.proc.cgroups import origin_of_cgroup_id
from sockwatch.kernel.proc.proc_stat import read_stat
from sockwatch.kernel.proc.processes import ProcessNames, booted_at, user_name
from sockwatch.model import Gap, GapCode, Process
from sockwatch.text import NAME_LIMIT, clean

DEAD: Final = "X"  # as in proc_pid_stat(5)
GONE: Final = Gap(
    GapCode.PROCESS_GONE,
    "the process exited before it could be inspected; only what the kernel reported is shown",
    remedy=None,
)
NO_PID: Final = Gap(
    GapCode.PID_UNSEEN,
    "the process has no pid in this pid namespace",
    "run on the host",
)
_NS_PER_TICK: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Who(NamedTuple):
    """`alive`: it is still in /proc, so that its fds and namespaces can be read."""

    pid: int | None
    tid: int | None
    process: Process | None
    parent_name: str | None
    alive: bool
    gap: Gap | None


class WhoFailed:
    """Identifies the processes of failures, and remembers the last ones."""

    def __init__(self) -> None:
        self._names = ProcessNames()
        self._numbers_are_ours = host.sees_every_process()

    def identify(self, row: FailureRow) -> Who:
        """The process of a failure; `gap` says what is missing of it."""
        pid = row.pid if row.seen & SEEN_TASK else row.host_pid if self._numbers_are_ours else 0
        if not pid:
            return Who(None, None, None, None, alive=False, gap=NO_PID)
        tid = row.host_tid if self._numbers_are_ours else None
        process = self._names.identify(pid) if _is_the_same(pid, row) else None
        if process is not None:
            return Who(pid, tid, process, _name_of(process.parent_pid), alive=True, gap=None)
        process = _last_known(pid, row) if row.seen & SEEN_TASK else None
        parent = process.parent_pid if process is not None else None
        return Who(pid, tid, process, _name_of(parent), alive=False, gap=GONE)

    def forget_others(self, pids: set[int]) -> None:
        """Drop what is remembered of processes that have not failed lately."""
        self._names.forget_others(pids)


def _is_the_same(pid: int, row: FailureRow) -> bool:
    """Whether the process of that number in /proc is the one that failed."""
    stat = read_stat(pid)
    if stat is None or stat.state in ("Z", DEAD):
        return False
    return not row.started_ns or stat.start_ticks == row.started_ns // _NS_PER_TICK


def _last_known(pid: int, row: FailureRow) -> Process:
    command = ""
    if row.seen & SEEN_COMMAND:
        raw = row.command[: row.command_bytes].rstrip(b"\0").replace(b"\0", b" ")
        command = clean(raw) + ("…" if row.cut else "")
    return Process(
        pid=pid,
        name=comm(row),
        command=command,
        user=user_name(row.uid),
        uid=row.uid,
        start_time=booted_at() + row.started_ns / 1e9,
        parent_pid=row.parent_pid or None,
        state=DEAD,
        origin=origin_of_cgroup_id(row.cgroup_id),
    )


def comm(row: FailureRow) -> str:
    """The thread's name."""
    return clean(row.comm.partition(b"\0")[0], NAME_LIMIT)


def _name_of(pid: int | None) -> str | None:
    stat = read_stat(pid) if pid else None
    return None if stat is None else clean(stat.comm, NAME_LIMIT)
