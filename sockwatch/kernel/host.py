"""Which host and which network namespace this thread is in."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from sockwatch.model import KernelError, Netns
from sockwatch.text import NAME_LIMIT, clean

NAMED_NETNS: Final = Path("/run/netns")  # ip-netns(8)
# net/core/sysctl_net_core.c registers it for the initial network namespace alone.
ONLY_IN_HOST_NETNS: Final = Path("/proc/sys/net/core/dev_weight")
INITIAL_PID_NAMESPACE: Final = 0xEFFFFFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h


def host_name() -> str:
    """gethostname(2), made printable."""
    return clean(socket.gethostname(), NAME_LIMIT)


def kernel_release() -> str:
    """The release of uname(2), such as ``6.8.0-31-generic``."""
    return clean(os.uname().release, NAME_LIMIT)


def current_netns() -> Netns:
    """The network namespace of this thread: ``host``, a name given by ip-netns(8), or None.

    Raises KernelError if /proc is not mounted.
    """
    try:
        inode = Path("/proc/thread-self/ns/net").stat().st_ino
    except OSError as error:
        raise KernelError(
            f"/proc/thread-self/ns/net: {error.strerror}; is /proc mounted here? "
            "mount -t proc proc /proc does it",
            error.errno or 0,
        ) from error
    if ONLY_IN_HOST_NETNS.exists():
        return Netns(inode, "host")
    try:
        for entry in os.scandir(NAMED_NETNS):
            if entry.stat().st_ino == inode:
                return Netns(inode, clean(entry.name, NAME_LIMIT))
    except OSError:
        pass
    return Netns(inode, None)


def sees_every_process() -> bool:
    """Whether /proc shows all processes of the host: this is the initial pid namespace."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino == INITIAL_PID_NAMESPACE
    except OSError:
        return False


def device_namer() -> Callable[[int], str | None]:
    """A function from interface index to name, valid for one sample; 0 means no device."""

    @cache
    def name(index: int) -> str | None:
        if index == 0:
            return None
        try:
            return clean(socket.if_indextoname(index), NAME_LIMIT)
        except OSError:
            return f"if{index}"

    return name
