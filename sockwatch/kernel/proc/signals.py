"""Whether a process ends by SIGTERM, as /proc/PID/status tells; reading that waits for nobody."""

from __future__ import annotations

import signal
from typing import Final

from sockwatch.kernel.proc.orphans import is_first_process, status_field

SIGTERM_BIT: Final = 1 << signal.SIGTERM - 1  # of the masks in proc_pid_status(5)


def ignores_sigterm(pid: int) -> bool:
    """Whether SIGTERM does nothing to it.

    The first process of a pid namespace gets only what it has a handler for: pid_namespaces(7),
    sig_task_ignored() of kernel/signal.c.
    """
    if _has(pid, "SigIgn"):
        return True
    return is_first_process(pid) and not _has(pid, "SigCgt")


def _has(pid: int, mask: str) -> bool:
    return bool(int(status_field(pid, mask) or "0", 16) & SIGTERM_BIT)
