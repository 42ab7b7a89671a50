"""Where a process runs and who started it: its working directory, namespaces and ancestors.

Nothing here waits: readlink(2) on proc_pid_cwd(5) and proc_pid_exe(5) writes down a path that the
kernel knows, and does not ask the file system below it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple

from sockwatch.kernel.origin import by_conmon
from sockwatch.kernel.origin.monitors import CONMON
from sockwatch.kernel.proc.orphans import is_first_process
from sockwatch.kernel.proc.proc_stat import ProcessStat, ancestry, read_stat
from sockwatch.kernel.proc.processes import CLOCK_SLACK_S, TICKS_PER_S, booted_at, executable_of
from sockwatch.kernel.proc.signals import ignores_sigterm
from sockwatch.model import Ancestor, Process
from sockwatch.text import NAME_LIMIT, clean

NAMESPACES: Final = ("pid", "user")
MOST_PROCESSES: Final = 256  # of the holders of a port; the others stay as they are


class _Known(NamedTuple):
    stat: Callable[[int], ProcessStat | None]
    executable: Callable[[int], str | None]


def with_context(processes: Iterable[Process]) -> Iterator[Process]:
    """The processes, eldest first, with their cwd and ancestors as long as they are not many."""
    processes = iter(sorted(processes, key=attrgetter("start_time")))
    known = _Known(cache(read_stat), cache(executable_of))  # workers share their ancestors
    for process in islice(processes, MOST_PROCESSES):
        yield _with_context(process, known)
    yield from processes


def _with_context(process: Process, known: _Known) -> Process:
    stat = read_stat(process.pid)
    if stat is None:
        return process
    boot_time = process.start_time - stat.start_ticks / TICKS_PER_S
    if abs(boot_time - booted_at()) > CLOCK_SLACK_S:  # another process has got the pid
        return process
    ancestors = _ancestors(stat, boot_time, known)
    is_monitored = any(ancestor.name == CONMON for ancestor in ancestors or ())
    return process._replace(
        cwd=_cwd(process.pid),
        ancestors=ancestors,
        namespaces=_other_namespaces(process.pid),
        is_first=is_first_process(process.pid),
        ignores_sigterm=ignores_sigterm(process.pid),
        origin=by_conmon(process.origin, process.pid) if is_monitored else process.origin,
    )


def _cwd(pid: int) -> str | None:
    try:
        return clean(os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        return None


def _other_namespaces(pid: int) -> tuple[str, ...] | None:
    """Which of its namespaces are not ours: namespaces(7)."""

    def namespace(of: int | str, kind: str) -> str:
        return os.readlink(f"/proc/{of}/ns/{kind}")

    try:
        return tuple(kind for kind in NAMESPACES if namespace(pid, kind) != namespace("self", kind))
    except OSError:
        return None


def _ancestors(stat: ProcessStat, boot_time: float, known: _Known) -> tuple[Ancestor, ...] | None:
    """The chain as far as it can be read; None if it has a parent that cannot."""
    ancestors = tuple(
        Ancestor(
            pid,
            clean(parent.comm, NAME_LIMIT),
            boot_time + parent.start_ticks / TICKS_PER_S,
            known.executable(pid),
        )
        for pid, parent in ancestry(stat, known.stat)
    )
    return None if stat.parent_pid and not ancestors else ancestors
