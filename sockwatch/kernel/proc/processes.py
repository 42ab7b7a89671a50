"""Who a process is: name, command line, user, start time, parent, state, unit.

psutil would do, but reads a command line whole, which its owner may make a terabyte long, and waits
for a process whose memory is locked by a dead disk. Here nothing is read beyond what is
shown, and what may wait is left behind.
"""

from __future__ import annotations

import os
import pwd
import re
import time
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from typing import Final, NamedTuple

from sockwatch.kernel.expendable import call, call_each
from sockwatch.kernel.proc.proc_stat import ProcessStat, read_stat
from sockwatch.kernel.proc.services import service
from sockwatch.model import Process, Service
from sockwatch.text import COMMAND_LIMIT, NAME_LIMIT, clean

# A command line can change without exec() (setproctitle), so a remembered one is read again.
REMEMBER_S: Final = 10.0
REMEMBER_STUCK_S: Final = 60.0  # each attempt at a stuck one leaves a thread behind
CLOCK_SLACK_S: Final = 1.0  # where the clock is set, all start times move with it
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
COMMAND_BYTES: Final = 4 * COMMAND_LIMIT + 1  # UTF-8 takes up to 4 bytes a character
STATUS_BYTES: Final = 4096
CGROUP_BYTES: Final = 16384
COMM_BYTES: Final = 15  # TASK_COMM_LEN without its end: a longer name is cut
DELETED: Final = " (deleted)"
UNIT: Final = re.compile(r"[^/]+\.(?:service|socket|scope|slice)$")
CONTAINER: Final = re.compile(r"(?:^|[-/:])([0-9a-f]{64})(?:\.scope)?$")


class _Remembered(NamedTuple):
    stat: ProcessStat
    until: float  # time.monotonic()
    process: Process
    is_stuck: bool


class ProcessNames:
    """Identifies processes, and remembers them by (pid, start time)."""

    def __init__(self) -> None:
        self._remembered: dict[int, _Remembered] = {}
        self._booted_at = 0.0

    @property
    def stuck(self) -> int:
        """How many of the remembered processes did not let their command line be read in time."""
        return sum(remembered.is_stuck for remembered in self._remembered.values())

    def identify(self, pid: int) -> Process | None:
        """The process, or None if it has exited or is hidden."""
        return self.identify_all((pid,)).get(pid)

    def identify_all(self, pids: Iterable[int]) -> dict[int, Process]:
        """By pid, those of the processes that exist and are not hidden."""
        self._follow_clock()
        now = time.monotonic()
        identified: dict[int, Process] = {}
        unread: dict[int, ProcessStat] = {}
        for pid in pids:
            stat = read_stat(pid)
            remembered = self._remembered.get(pid)
            if stat is None:
                self._remembered.pop(pid, None)
            elif remembered is not None and _is_current(remembered, stat, now):
                identified[pid] = remembered.process._replace(
                    state=stat.state, parent_pid=stat.parent_pid or None
                )
            else:
                unread[pid] = stat
        services = cache(service)  # many workers share one cgroup
        for pid, command_line in call_each(unread, _read_command_line):
            process = _read(pid, unread[pid], command_line or b"", self._booted_at, services)
            if process is not None:
                identified[pid] = process
                is_stuck = command_line is None
                until = now + (REMEMBER_STUCK_S if is_stuck else REMEMBER_S)
                self._remembered[pid] = _Remembered(unread[pid], until, process, is_stuck)
        return identified

    def _follow_clock(self) -> None:
        """Forget everything if the clock has been set."""
        now = booted_at()
        if abs(now - self._booted_at) >= CLOCK_SLACK_S:
            self._booted_at = now
            self._remembered.clear()

    def forget_others(self, pids: set[int]) -> None:
        """Drop what is remembered of processes that hold no socket any more."""
        for pid in self._remembered.keys() - pids:
            del self._remembered[pid]


def booted_at() -> float:
    """When the host was started, in seconds since the epoch, by what its clock says now."""
    return round(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME), 2)


def _is_current(remembered: _Remembered, stat: ProcessStat, now: float) -> bool:
    is_same = (remembered.stat.start_ticks, remembered.stat.comm) == (stat.start_ticks, stat.comm)
    return is_same and now < remembered.until


def _read(
    pid: int,
    stat: ProcessStat,
    command_line: bytes,
    boot_time: float,
    services: Callable[[bytes], Service | None],
) -> Process | None:
    uid = _effective_uid(pid)
    if uid is None:
        return None
    cgroup = _read_file(f"/proc/{pid}/cgroup", CGROUP_BYTES) or b""
    arguments = command_line.rstrip(b"\0").replace(b"\0", b" ")  # setproctitle pads with NULs
    return Process(
        pid=pid,
        name=clean(_name(stat.comm, command_line), NAME_LIMIT),
        command=clean(arguments.rstrip()),
        user=user_name(uid),
        uid=uid,
        start_time=boot_time + stat.start_ticks / TICKS_PER_S,
        parent_pid=stat.parent_pid or None,
        state=stat.state,
        unit=unit_of_cgroup(cgroup),
        executable=_executable(pid),
        service=services(cgroup),
    )


def _read_command_line(pid: int) -> bytes:
    """As much of it as is ever shown; empty if it may not be read."""
    return _read_file(f"/proc/{pid}/cmdline", COMMAND_BYTES) or b""


def _read_file(path: str, most: int) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(most)
    except OSError:
        return None


def _name(comm: bytes, command_line: bytes) -> bytes:
    """The comm, whole where the kernel has cut it and the command begins with the same name."""
    if len(comm) < COMM_BYTES:
        return comm
    program = os.path.basename(command_line.partition(b"\0")[0])
    return program if program.startswith(comm) else comm


def _effective_uid(pid: int) -> int | None:
    """Of proc_pid_status(5); None if the process has exited or is hidden."""
    text = _read_file(f"/proc/{pid}/status", STATUS_BYTES)
    _, label, rest = (text or b"").partition(b"\nUid:\t")
    return int(rest.split(maxsplit=2)[1]) if label else None


def _executable(pid: int) -> str | None:
    try:
        path = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None
    return clean(path.removesuffix(DELETED)) or None


@lru_cache(maxsize=1024)
def user_name(uid: int) -> str:
    """The user's name, or the uid if it has none or the directory service is stuck."""
    return call(lambda: _user_name(uid)) or str(uid)


def _user_name(uid: int) -> str:
    try:
        return clean(pwd.getpwuid(uid).pw_name, NAME_LIMIT)
    except (KeyError, OSError):
        return ""


def unit_of_cgroup(text: bytes) -> str | None:
    """The container (``container:`` and 12 digits) or innermost systemd unit in a cgroup file.

    The line of cgroup v2 has the number 0; under v1 systemd keeps a hierarchy of its own.
    """
    for line in text.decode("utf-8", "surrogateescape").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number != "0" and controllers != "name=systemd":
            continue
        if container := CONTAINER.search(path):
            return f"container:{container[1][:12]}"
        for part in reversed(path.split("/")):
            if UNIT.fullmatch(part) and not part.endswith(".slice"):
                return clean(part, NAME_LIMIT)
    return None
