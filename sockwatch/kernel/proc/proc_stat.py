"""/proc/PID/stat: the few fields that every sample reads of every holder."""

from __future__ import annotations

from typing import Final, NamedTuple

KTHREADD_PID: Final = 2


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


def read_stat(pid: int) -> ProcessStat | None:
    """proc_pid_stat(5) of the process, or None if it has exited or is hidden."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read()
    except OSError:
        return None
    return parse_stat(text)


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
