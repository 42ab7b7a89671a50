"""The thread whose call is in question, and whether its rights at bind() are our own."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from sockwatch.kernel.capabilities import CAP_NET_BIND_SERVICE
from sockwatch.kernel.proc.proc_file import read_proc_file

_STATUS_BYTES: Final = 16_384
_SMALL: Final = 4_096


class Doubt(Exception):  # noqa: N818 - what it is
    """Why a call is left to the kernel, in a few words that follow "not seen: "."""


GONE: Final = "the program has ended"
UNREADABLE: Final = "the program does not let its memory or its fds be read"
OTHER_RIGHTS: Final = "the program's user namespace, cgroup, label or capabilities are not ours"


class Task(NamedTuple):
    """A thread by proc_pid_status(5). `capabilities` is its effective set, `uid` the effective."""

    tid: int
    pid: int
    parent_pid: int
    uid: int
    gid: int
    capabilities: int

    def has(self, capability: int) -> bool:
        """Whether the capability with this number is effective in the thread's user namespace."""
        return bool(self.capabilities >> capability & 1)


def read_task(which: int | str) -> Task:
    """The thread with this number, or ``self``. Raises Doubt if it has ended."""
    text = read_proc_file(f"/proc/{which}/status", _STATUS_BYTES)
    try:
        fields = dict(line.split(b":\t", 1) for line in text.splitlines() if b":\t" in line)
        return Task(
            tid=int(fields[b"Pid"]),
            pid=int(fields[b"Tgid"]),
            parent_pid=int(fields[b"PPid"]),
            uid=int(fields[b"Uid"].split()[1]),
            gid=int(fields[b"Gid"].split()[1]),
            capabilities=int(fields[b"CapEff"], 16),
        )
    except (KeyError, ValueError, IndexError):
        raise Doubt(GONE) from None


def check_place(task: Task) -> None:
    """Raise Doubt unless the thread is where we are: user namespace, cgroup, label of its LSM.

    BPF programs and security modules may judge by them. A Landlock domain does not show: see
    filter.LANDLOCK_RESTRICT_SELF.
    """
    theirs, ours = f"/proc/{task.tid}", "/proc/self"
    try:
        is_same = (
            os.readlink(f"{theirs}/ns/user") == os.readlink(f"{ours}/ns/user")
            and _cgroup(theirs) == _cgroup(ours)
            and _label(theirs) == _label(ours)
        )
    except OSError:
        raise Doubt(UNREADABLE) from None
    if not is_same:
        raise Doubt(OTHER_RIGHTS)


def check_low_port(task: Task, port: int) -> None:
    """Raise Doubt if it is a low port, and our right to it may not be the thread's.

    inet_bind() asks for CAP_NET_BIND_SERVICE in the user namespace of the socket's network
    namespace, which the user who made that one has by the effective uid alone.
    """
    if port == 0 or port >= _first_free_port(task):
        return
    own = read_task("self")
    if (task.uid, task.has(CAP_NET_BIND_SERVICE)) != (own.uid, own.has(CAP_NET_BIND_SERVICE)):
        raise Doubt(OTHER_RIGHTS)


def _first_free_port(task: Task) -> int:
    """From which on nobody needs a right; in another network namespace it may be set to any."""
    try:
        if os.readlink(f"/proc/{task.tid}/ns/net") == os.readlink("/proc/self/ns/net"):
            return int(read_proc_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", 16))
    except (OSError, ValueError):
        pass
    return 65536


def read_memory(tid: int, address: int, size: int) -> bytes:
    """Of the thread. Raises Doubt."""
    try:
        fd = os.open(f"/proc/{tid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(fd, size, address)
        finally:
            os.close(fd)
    except (OSError, OverflowError):
        raise Doubt(UNREADABLE) from None
    if len(data) != size:
        raise Doubt(UNREADABLE)
    return data


def _cgroup(folder: str) -> bytes:
    return read_proc_file(f"{folder}/cgroup", _SMALL)


def _label(folder: str) -> bytes:
    """What SELinux, AppArmor or Smack calls it; empty without such a module."""
    return read_proc_file(f"{folder}/attr/current", _SMALL)
