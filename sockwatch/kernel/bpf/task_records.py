"""The records of iter/task, as what /proc/PID would say."""

from __future__ import annotations

import os
from typing import Final

from sockwatch.kernel.bpf.rows import TASK_STRUCT
from sockwatch.kernel.proc.proc_stat import ProcessRecord, ProcessStat

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
IDLE: Final = 0x402  # TASK_IDLE: TASK_UNINTERRUPTIBLE | TASK_NOLOAD
# task_state_array of fs/proc/array.c: the letter of the highest bit, of what is reported.
REPORTED: Final = 0x7F
LETTERS: Final = "RSDTtXZP"


class TaskRecords:
    """Decodes the records of each run; one that is the same as in the last run keeps its object."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, ProcessRecord]] = {}

    def decode(self, data: bytes) -> dict[int, ProcessRecord]:
        """By pid; the last record is the closing one."""
        size, known = TASK_STRUCT.size, self._known
        self._known = {
            raw: known.get(raw) or _decoded(raw)
            for raw in (data[at : at + size] for at in range(0, len(data) - size, size))
        }
        return dict(self._known.values())


def _decoded(raw: bytes) -> tuple[int, ProcessRecord]:
    """The pid, and what is known of that process."""
    (
        started_ns, cgroup_id, comm, pid, parent_pid, state, exit_state, uid, execs,
    ) = TASK_STRUCT.unpack(raw)  # fmt: skip
    stat = ProcessStat(
        comm.partition(b"\0")[0],
        state_letter(state, exit_state),
        parent_pid,
        started_ns * TICKS_PER_S // 1_000_000_000,
    )
    return pid, ProcessRecord(stat, uid, cgroup_id, execs)


def state_letter(state: int, exit_state: int) -> str:
    """As in proc_pid_stat(5): get_task_state() of fs/proc/array.c."""
    if state & IDLE == IDLE:
        return "I"
    return LETTERS[((state | exit_state) & REPORTED).bit_length()]
