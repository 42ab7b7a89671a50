"""Who a process is: name, command line, user, start time, parent, state, unit.

psutil would do, but reads a command line whole, which its owner may make a terabyte long, and waits
for a process whose memory is locked by a dead disk. Here nothing is read beyond what is
shown, and what may wait is left behind.
"""

from __future__ import annotations

import math
import os
import pwd
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from typing import Final, NamedTuple

from sockwatch.kernel.expendable import call
from sockwatch.kernel.origin import of_cgroups
from sockwatch.kernel.proc.command_lines import MOST_BYTES, CommandLines
from sockwatch.kernel.proc.halts import UNINTERRUPTIBLE, find_frozen, find_halt, switches
from sockwatch.kernel.proc.orphans import find_orphan, is_first_process
from sockwatch.kernel.proc.proc_file import read_proc_file
from sockwatch.kernel.proc.proc_stat import ProcessRecord, ProcessStat, read_stat
from sockwatch.kernel.proc.services import read_cgroup, service
from sockwatch.model import Halt, Origin, Orphan, Process, Service
from sockwatch.text import NAME_LIMIT, clean

REMEMBER_S: Final = 10.0  # what no record of the kernel tells
CLOCK_SLACK_S: Final = 1.0  # where the clock is set, all start times move with it
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
STATUS_BYTES: Final = 4096
MOST_ARGUMENTS: Final = 256
COMM_BYTES: Final = 15  # TASK_COMM_LEN without its end: a longer name is cut
DELETED: Final = " (deleted)"


class _Sleep(NamedTuple):
    """An uninterruptible one: nothing has run since as long as `switches` stays the same."""

    switches: int | None
    since: float  # time.monotonic()


class _Birth(NamedTuple):
    """Whether the one who started a process has gone: no record tells of setsid(2)."""

    parent_pid: int
    orphan: Orphan | None
    until: float  # time.monotonic()


class _SeenOnce(NamedTuple):
    """What many processes have in common, looked up once a look."""

    frozen_by: Callable[[bytes], Halt | None]
    is_first: Callable[[int], bool]


class _Parts(NamedTuple):
    """What the record and the command line lack."""

    uid: int
    cgroup: bytes
    executable: str | None
    birth: _Birth


class _Remembered(NamedTuple):
    record: ProcessRecord
    until: float  # time.monotonic()
    process: Process
    command_line: bytes | None
    cgroup: bytes
    birth: _Birth
    sleep: _Sleep | None = None
    settled_until: float = 0.0  # time.monotonic(); until then its record tells of any change

    def is_current(self, record: ProcessRecord, command_line: bytes | None) -> bool:
        """Whether the process is still as it was read."""
        return (
            self.record.is_same(record)
            and self.command_line == command_line
            and time.monotonic() < self.until
        )


class ProcessNames:
    """Identifies processes, and remembers them by (pid, start time)."""

    def __init__(self) -> None:
        self._remembered: dict[int, _Remembered] = {}
        self._command_lines = CommandLines()
        self._services: dict[bytes, Service | None] = {}  # by proc_pid_cgroup(5)
        self._origins: dict[bytes, Origin | None] = {}  # a container may be given another name
        self._services_until = 0.0  # time.monotonic(): another process may become the main one
        self._booted_at = 0.0

    @property
    def stuck(self) -> int:
        """How many of the processes asked for last did not let their command line be read."""
        return self._command_lines.unanswered

    @property
    def unnamed(self) -> int:
        """How many of the containers and pods that were seen lately have an id alone."""
        chains = (origin.chain for origin in self._origins.values() if origin is not None)
        return len({each.id for chain in chains for each in chain if each.name is None})

    def identify(self, pid: int) -> Process | None:
        """The process, or None if it has exited or is hidden."""
        return self.identify_all((pid,)).get(pid)

    def identify_all(
        self, pids: Iterable[int], seen: Mapping[int, ProcessRecord] | None = None
    ) -> dict[int, Process]:
        """By pid, those of the processes that exist and are not hidden.

        `seen` is what is known already of some of them, at this moment. One that is the same as at
        the last call, but for its state, is not read again; nor looked at, if its state is too.
        """
        seen = seen or {}
        self._follow_clock()
        if time.monotonic() >= self._services_until:
            self._services, self._origins = {}, {}
            self._services_until = time.monotonic() + REMEMBER_S
        seen_once = _SeenOnce(cache(find_frozen), cache(is_first_process))
        identified: dict[int, Process] = {}
        changed: dict[int, ProcessRecord] = {}
        now = time.monotonic()
        for pid in pids:
            record = seen.get(pid) or _record(pid)
            remembered = self._remembered.get(pid)
            if record is None:
                self._remembered.pop(pid, None)
            elif (
                remembered is not None
                and remembered.record == record
                and now < remembered.settled_until
                and seen_once.frozen_by(remembered.cgroup) is None
            ):
                identified[pid] = remembered.process
            else:
                changed[pid] = record
        command_lines = self._command_lines.read(changed)
        known: dict[int, _Remembered] = {}
        for pid, record in changed.items():
            remembered = self._remembered.get(pid)
            if remembered is None or not remembered.is_current(record, command_lines[pid]):
                parts = _read_parts(pid, record, seen_once)
                if parts is None:
                    continue
                remembered = self._put_together(pid, record, command_lines[pid], parts, remembered)
            known[pid] = remembered
        self._look_up(
            {r.cgroup: pid for pid, r in known.items() if r.cgroup not in self._services}, seen
        )
        for pid, remembered in known.items():
            latest = self._as_it_is_now(pid, remembered, changed[pid], seen_once)
            self._remembered[pid] = latest
            identified[pid] = latest.process
        return identified

    def _look_up(self, pids: Mapping[bytes, int], seen: Mapping[int, ProcessRecord]) -> None:
        """Find out what is in these cgroups, of which each has that process."""
        self._services |= {cgroup: service(cgroup, seen) for cgroup in pids}
        self._origins |= of_cgroups(pids)

    def _put_together(
        self,
        pid: int,
        record: ProcessRecord,
        command_line: bytes | None,
        parts: _Parts,
        earlier: _Remembered | None,
    ) -> _Remembered:
        process = _process(pid, record.stat, command_line or b"", parts, self._booted_at)
        # A move within version 1 of cgroups shows in no record.
        is_told = record.cgroup_id is not None and parts.cgroup.count(b"\n") == 1
        until = math.inf if is_told else time.monotonic() + REMEMBER_S
        is_same = earlier is not None and earlier.record.is_same(record)
        sleep = earlier.sleep if earlier is not None and is_same else None
        return _Remembered(record, until, process, command_line, parts.cgroup, parts.birth, sleep)

    def _as_it_is_now(
        self,
        pid: int,
        remembered: _Remembered,
        record: ProcessRecord,
        seen_once: _SeenOnce,
    ) -> _Remembered:
        """Add what changes from one moment to the next."""
        stat = record.stat
        halt = find_halt(pid, stat, remembered.cgroup, seen_once.frozen_by)
        sleep = None
        if stat.state == UNINTERRUPTIBLE and halt is None:
            count = switches(read_proc_file(f"/proc/{pid}/status", STATUS_BYTES))
            sleep = remembered.sleep
            if sleep is None or sleep.switches is None or sleep.switches != count:
                sleep = _Sleep(count, time.monotonic())
        birth = remembered.birth
        if birth.parent_pid != stat.parent_pid or time.monotonic() >= birth.until:
            birth = _birth(pid, stat, seen_once)
        process = remembered.process
        latest = process._replace(
            state=stat.state,
            parent_pid=stat.parent_pid or None,
            service=self._services[remembered.cgroup],
            origin=self._origins[remembered.cgroup],
            halt=halt,
            orphan=birth.orphan,
            sleeps_s=None if sleep is None else time.monotonic() - sleep.since,
        )
        if latest == process:
            latest = process  # an equal one keeps its object
        settled_until = 0.0
        if halt is None and sleep is None:
            known_until = self._command_lines.until(pid)
            settled_until = min(remembered.until, birth.until, known_until, self._services_until)
        return remembered._replace(
            record=record, process=latest, birth=birth, sleep=sleep, settled_until=settled_until
        )

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
        self._command_lines.forget_others(pids)


def booted_at() -> float:
    """When the host was started, in seconds since the epoch, by what its clock says now."""
    return round(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME), 2)


def _record(pid: int) -> ProcessRecord | None:
    stat = read_stat(pid)
    return None if stat is None else ProcessRecord(stat)


def _read_parts(pid: int, record: ProcessRecord, seen_once: _SeenOnce) -> _Parts | None:
    """None if the process has exited or is hidden."""
    uid = _effective_uid(pid) if record.uid is None else record.uid
    cgroup = read_cgroup(pid)
    if uid is None or not (cgroup or os.path.exists(f"/proc/{pid}")):
        return None
    return _Parts(uid, cgroup, executable_of(pid), _birth(pid, record.stat, seen_once))


def _birth(pid: int, stat: ProcessStat, seen_once: _SeenOnce) -> _Birth:
    orphan = find_orphan(pid, stat.parent_pid, seen_once.is_first)
    return _Birth(stat.parent_pid, orphan, time.monotonic() + REMEMBER_S)


def _process(
    pid: int, stat: ProcessStat, command_line: bytes, parts: _Parts, boot_time: float
) -> Process:
    arguments = command_line.rstrip(b"\0").replace(b"\0", b" ")  # setproctitle pads with NULs
    return Process(
        pid=pid,
        name=clean(_name(stat.comm, command_line), NAME_LIMIT),
        command=clean(arguments.rstrip()),
        user=user_name(parts.uid),
        uid=parts.uid,
        start_time=boot_time + stat.start_ticks / TICKS_PER_S,
        parent_pid=stat.parent_pid or None,
        state=stat.state,
        executable=parts.executable,
        arguments=_arguments(command_line),
        start_ticks=stat.start_ticks,
    )


def _arguments(command_line: bytes) -> tuple[str, ...]:
    """The words of it; ``…`` for those that were not read."""
    words = command_line.rstrip(b"\0").split(b"\0") if command_line else []
    cut = len(command_line) >= MOST_BYTES
    if cut:
        words.pop()
    if len(words) > MOST_ARGUMENTS:
        cut, words = True, words[:MOST_ARGUMENTS]
    return (*map(clean, words), *(("…",) if cut else ()))


def _name(comm: bytes, command_line: bytes) -> bytes:
    """The comm, whole where the kernel has cut it and the command begins with the same name."""
    if len(comm) < COMM_BYTES:
        return comm
    program = os.path.basename(command_line.partition(b"\0")[0])
    return program if program.startswith(comm) else comm


def _effective_uid(pid: int) -> int | None:
    """None if the process has exited or is hidden."""
    return parse_effective_uid(read_proc_file(f"/proc/{pid}/status", STATUS_BYTES))


def parse_effective_uid(text: bytes) -> int | None:
    """The second of the uids in proc_pid_status(5)."""
    rest = text.partition(b"\nUid:\t")[2]
    try:
        return int(rest.split(maxsplit=2)[1])
    except (IndexError, ValueError):
        return None


def executable_of(pid: int) -> str | None:
    """Its path; None if it may not be read, as for a kernel thread."""
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
