"""Who a process is: name, command line, user, start time, parent, state, unit."""

from __future__ import annotations

import os
import pwd
import re
import time
from functools import lru_cache
from typing import Final, NamedTuple

import psutil

from sockwatch.kernel.proc.proc_stat import ProcessStat, read_stat
from sockwatch.model import Process
from sockwatch.text import NAME_LIMIT, clean

# A command line can change without exec() (setproctitle), so a remembered one is read again.
REMEMBER_S: Final = 10.0
CLOCK_SLACK_S: Final = 1.0  # where the clock is set, all start times move with it
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
UNIT: Final = re.compile(r"[^/]+\.(?:service|socket|scope|slice)$")
CONTAINER: Final = re.compile(r"(?:^|[-/:])([0-9a-f]{64})(?:\.scope)?$")


class _Remembered(NamedTuple):
    stat: ProcessStat
    read_at: float  # time.monotonic()
    process: Process


class ProcessNames:
    """Identifies processes, and remembers them by (pid, start time)."""

    def __init__(self) -> None:
        self._known: dict[int, _Remembered] = {}
        self._booted_at = self._boot_time = 0.0

    def identify(self, pid: int) -> Process | None:
        """The process, or None if it is gone or hidden."""
        stat = read_stat(pid)
        if stat is None:
            self._known.pop(pid, None)
            return None
        self._follow_clock()
        known = self._known.get(pid)
        now = time.monotonic()
        if (
            known is not None
            and (known.stat.start_ticks, known.stat.comm) == (stat.start_ticks, stat.comm)
            and now - known.read_at < REMEMBER_S
        ):
            process = known.process
            if (process.state, process.parent_pid) != (stat.state, stat.parent_pid):
                process = process._replace(state=stat.state, parent_pid=stat.parent_pid)
            return process
        read = _read(pid, stat, self._boot_time)
        if read is not None:
            self._known[pid] = _Remembered(stat, now, read)
        return read

    def _follow_clock(self) -> None:
        """When the host was started, by what its clock says now: once for all processes.

        psutil reads /proc/stat for each, which takes a large host a millisecond.
        """
        booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        if abs(booted_at - self._booted_at) >= CLOCK_SLACK_S:
            self._booted_at, self._boot_time = booted_at, psutil.boot_time()
            self._known.clear()

    def forget_others(self, pids: set[int]) -> None:
        """Drop what is remembered of processes that hold no socket any more."""
        for pid in self._known.keys() - pids:
            del self._known[pid]


def _read(pid: int, stat: ProcessStat, boot_time: float) -> Process | None:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            uid = process.uids().effective
            name = process.name()
            try:
                arguments = process.cmdline()
            except (psutil.AccessDenied, psutil.ZombieProcess):
                # A process whose leader has exited counts as a zombie, and its threads live on.
                arguments = []
            executable = _executable(process)
    except psutil.Error:
        return None
    return Process(
        pid=pid,
        name=clean(name, NAME_LIMIT),
        command=clean(" ".join(arguments).rstrip()),  # setproctitle pads with empty arguments
        user=user_name(uid),
        uid=uid,
        start_time=boot_time + stat.start_ticks / TICKS_PER_S,
        parent_pid=stat.parent_pid or None,
        state=stat.state,
        unit=_unit(pid),
        executable=executable,
    )


def _executable(process: psutil.Process) -> str | None:
    try:
        return clean(process.exe()) or None
    except (psutil.AccessDenied, psutil.ZombieProcess):
        return None


@lru_cache(maxsize=1024)
def user_name(uid: int) -> str:
    """The user's name, or the number where it has none."""
    try:
        return clean(pwd.getpwuid(uid).pw_name, NAME_LIMIT)
    except KeyError:
        return str(uid)


def _unit(pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/cgroup", "rb") as file:
            text = file.read()
    except OSError:
        return None
    return unit_of_cgroup(text)


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
