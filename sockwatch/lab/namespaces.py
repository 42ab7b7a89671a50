"""Namespaces of the sandbox, for its supervisor and its observer.

Light, since both are started for each sandbox.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from sockwatch.kernel import libc

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
SIGKILL: Final = 9


def enter_own(kinds: int) -> None:
    """New namespaces for this process, within a new user namespace where it may not else.

    `kinds` are CLONE_ bits; CLONE_NEWPID is for its children. Raises OSError.
    """
    try:
        libc.unshare(kinds)
    except PermissionError:
        # The same user inside as outside, so that the tables name it as it is.
        uid, gid = os.geteuid(), os.getegid()
        libc.unshare(kinds | libc.CLONE_NEWUSER)
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
        libc.setns(fd, 0)
        os.close(fd)


def die_with_parent() -> None:
    """SIGKILL for this process when the thread that made it ends; prctl(2). Not across setuid()."""
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL)


def adopt_orphans() -> None:
    """Descendants whose parent dies become children of this process; prctl(2)."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)


def name_process(name: str) -> None:
    """What ps and the tables show."""
    with suppress(OSError), open("/proc/self/comm", "w") as file:
        file.write(name)
