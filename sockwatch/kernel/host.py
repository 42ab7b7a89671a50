"""Which host and which network namespace this thread is in."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from sockwatch.kernel.netns.names import names, netns_mounts
from sockwatch.kernel.sockstat import read_sockstat
from sockwatch.model import HOST_NAME, KernelError, Netns
from sockwatch.text import NAME_LIMIT, clean

# net/core/sysctl_net_core.c registers it for the initial network namespace alone.
ONLY_IN_HOST_NETNS: Final = Path("/proc/sys/net/core/dev_weight")
PROC_LINE: Final = 4096
BOUND_LISTED_SINCE: Final = (6, 8)
INITIAL_PID_NAMESPACE: Final = 0xEFFFFFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h


def host_name() -> str:
    """gethostname(2), made printable."""
    return clean(socket.gethostname(), NAME_LIMIT)


def kernel_release() -> str:
    """The release of uname(2), such as ``6.8.0-31-generic``."""
    return clean(os.uname().release, NAME_LIMIT)


def lists_bound_sockets() -> bool:
    """Whether sock_diag lists TCP sockets that are bound and do not listen.

    TCPF_BOUND_INACTIVE of net/ipv4/inet_diag.c, since 6.8; some older kernels have it carried back.
    """
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return release is None or (int(release[1]), int(release[2])) >= BOUND_LISTED_SINCE


def patch_level() -> str | None:
    """The upstream version that the kernel's package was made from; None where it does not say.

    Debian has it in the version of uname(2), "#1 SMP Debian 6.1.192-2 (2026-11-16)"; Ubuntu in
    /proc/version_signature, "Ubuntu 6.8.0-45.45-generic 6.8.12".
    """
    if debian := re.search(r"\bDebian (\d+\.\d+\.\d+)", os.uname().version):
        return debian[1]
    try:
        with open("/proc/version_signature") as file:
            words = file.read(PROC_LINE).split()
    except (OSError, UnicodeDecodeError):
        return None
    return words[-1] if words and re.fullmatch(r"\d+\.\d+\.\d+", words[-1]) else None


def netns_inode() -> int:
    """The number of this thread's network namespace. Raises KernelError if /proc is not mounted."""
    try:
        return Path("/proc/thread-self/ns/net").stat().st_ino
    except OSError as error:
        raise KernelError(
            f"/proc/thread-self/ns/net: {error.strerror}; is /proc mounted here? "
            "mount -t proc proc /proc does it",
            error.errno or 0,
        ) from error


def current_netns() -> Netns:
    """The network namespace of this thread: ``host``, a name given by ip-netns(8), or None.

    Raises KernelError if /proc is not mounted.
    """
    inode = netns_inode()
    if ONLY_IN_HOST_NETNS.exists():
        return Netns(inode, HOST_NAME)
    return Netns(inode, names(netns_mounts()).get(inode))


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


def tcp_sockets() -> int:
    """How many this thread's network namespace has, without TIME_WAITs; 0 if unknown."""
    counts = read_sockstat()
    return 0 if counts is None else counts.tcp
