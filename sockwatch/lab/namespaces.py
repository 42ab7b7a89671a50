"""Namespaces of the sandbox, for its supervisor and its observer.

Light, since both are started for each sandbox.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import Final

CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
SIGKILL: Final = 9

_libc = ctypes.CDLL(None, use_errno=True)


def enter_own(kinds: int) -> None:
    """New namespaces for this process, within a new user namespace where it may not else.

    `kinds` are CLONE_ bits; CLONE_NEWPID is for its children. Raises OSError.
    """
    try:
        _check(_libc.unshare(kinds))
    except PermissionError:
        # The same user inside as outside, so that the tables name it as it is.
        uid, gid = os.geteuid(), os.getegid()
        _check(_libc.unshare(kinds | CLONE_NEWUSER))
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def join(fds: list[int]) -> None:
    """Enter the namespaces behind these fds. Raises OSError."""
    for fd in fds:
        _check(_libc.setns(fd, 0))
        os.close(fd)


def die_with_parent() -> None:
    """SIGKILL for this process when the thread that made it ends; prctl(2). Not across setuid()."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))


def adopt_orphans() -> None:
    """Descendants whose parent dies become children of this process; prctl(2)."""
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def name_process(name: str) -> None:
    """What ps and the tables show."""
    with suppress(OSError), open("/proc/self/comm", "w") as file:
        file.write(name)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
