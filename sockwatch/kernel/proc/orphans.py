"""Whether the process that started another one has gone.

The kernel then makes a reaper its parent: the first process of the pid namespace, or one that has
asked for it (PR_SET_CHILD_SUBREAPER of prctl(2), which /proc does not show). A session cannot be
entered from outside, setsid(2): a process that is in another session than its parent, and has not
begun one, was started by somebody else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from sockwatch.kernel.proc.proc_stat import read_stat
from sockwatch.model import Orphan
from sockwatch.text import NAME_LIMIT, clean
from sockwatch.units import process_name

STATUS_BYTES: Final = 4096
# nohup(1) ignores SIGHUP; a script SIGINT and SIGQUIT for what it starts with &.
BACKGROUND: Final = 0b111


def find_orphan(
    pid: int, parent_pid: int, is_first: Callable[[int], bool] | None = None
) -> Orphan | None:
    """What shows that the one who started the process has gone; None if nothing is seen.

    Also None for a leader of a session, as daemons are: they have left on purpose. `is_first` does
    what is_first_process() does, where the caller remembers the answers.
    """
    if not parent_pid:
        return None
    try:
        session, reapers = os.getsid(pid), os.getsid(parent_pid)
        group = os.getpgid(pid)
    except OSError:
        return None
    if session in (0, pid):  # 0 is a session of another pid namespace, and that of kernel threads
        return None
    is_certain = session != reapers
    if not is_certain:
        # The first process reaps, unless it is the server's own master.
        is_reaper = (is_first or is_first_process)(parent_pid)
        if not is_reaper or _executable(parent_pid) == _executable(pid):
            return None
    stat = read_stat(parent_pid)
    name = clean(stat.comm, NAME_LIMIT) if stat is not None else None
    return Orphan(
        reaper=process_name(name, parent_pid),
        group=group,
        is_certain=is_certain,
        is_job=group not in (pid, session) and not _is_in_background(pid),
    )


def is_first_process(pid: int) -> bool:
    """Whether it is the first process of a pid namespace."""
    return status_field(pid, "NSpid").split()[-1:] == ["1"]


def _is_in_background(pid: int) -> bool:
    ignored = status_field(pid, "SigIgn")
    return not ignored or int(ignored, 16) & BACKGROUND != 0


def status_field(pid: int, field: str) -> str:
    """A field of proc_pid_status(5); empty where it cannot be read."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            text = file.read(STATUS_BYTES).decode("ascii", "replace")
    except OSError:
        return ""
    return text.partition(f"\n{field}:\t")[2].partition("\n")[0]


def _executable(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None
