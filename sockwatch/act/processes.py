"""Processes of our own that are forked, and keep nothing of ours that they do not need."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

STANDARD_FDS: Final = (0, 1, 2)


def fork(function: Callable[[], object], keep: Iterable[int]) -> int:
    """The pid of a child that leaves the terminal, calls the function and ends.

    Returns when the child has none of our fds but these: what we close then is closed. Raises
    OSError.
    """
    ours, theirs = os.pipe()
    with open(ours, "rb", buffering=0) as its_end:
        try:
            pid = os.fork()
            if pid == 0:
                try:
                    leave_terminal((*keep, theirs))
                    os.close(theirs)
                    function()
                finally:
                    os._exit(0)
        finally:
            os.close(theirs)
        its_end.read(1)
    return pid


def leave_terminal(keep: Iterable[int]) -> None:
    """Be nobody's job: in a session of its own, deaf to signals, with these fds alone.

    What is closed of 0, 1 and 2 becomes /dev/null. SIGKILL and SIGSTOP remain.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    with suppress(OSError):  # it leads a session already
        os.setsid()
    os.chdir("/")
    close_others(keep)


def open_nowhere() -> int:
    """/dev/null; where there is none, a folder, which can be neither read nor written."""
    try:
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return os.open("/", os.O_RDONLY | os.O_CLOEXEC)


def close_others(keep: Iterable[int]) -> None:
    """Close every fd but these; of 0, 1 and 2 leave /dev/null."""
    kept = frozenset(keep)
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in kept and fd not in STANDARD_FDS:
            with suppress(OSError):  # the one of the listing itself
                os.close(fd)
    nowhere = open_nowhere()
    for fd in STANDARD_FDS:
        if fd not in kept:
            os.dup2(nowhere, fd)
    if nowhere not in STANDARD_FDS:
        os.close(nowhere)
