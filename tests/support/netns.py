"""Network namespaces for tests: nothing touches the host's ports."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.libc import check, libc

CLONE_NEWNS = 0x20000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 1
PR_SET_DUMPABLE = 4


def unshare(flags: int) -> None:
    """unshare(2) for this thread."""
    check(libc.unshare(flags))


def setns(fd: int) -> None:
    """Move this thread to the network namespace that the fd stands for."""
    check(libc.setns(fd, CLONE_NEWNET))


def link_up(name: str) -> None:
    """Do what `ip link set NAME up` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", name.encode(), 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", name.encode(), flags | IFF_UP))


def enter_new_netns() -> None:
    """Move this thread to a new network namespace with `lo` up, for good."""
    unshare(CLONE_NEWNET)
    link_up("lo")


@contextmanager
def fresh_netns() -> Iterator[None]:
    """This thread, and processes it starts, in a network namespace of its own with `lo` up."""
    with open("/proc/thread-self/ns/net") as before:
        enter_new_netns()
        try:
            yield
        finally:
            setns(before.fileno())


def netns_inode() -> int:
    """The inode number of this thread's network namespace."""
    return os.stat("/proc/thread-self/ns/net").st_ino


def set_ipv4_sysctl(name: str, value: str) -> None:
    """Set net.ipv4.NAME of this thread's network namespace."""
    Path("/proc/sys/net/ipv4", name).write_text(value)


def enter_new_user_namespace(uid: int = 0, flags: int = 0) -> None:
    """Make this user, known by its number outside, the root of a new user namespace."""
    check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))  # else root owns our files in /proc
    unshare(CLONE_NEWUSER | flags)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {uid} 1")


def become_root_of_a_user_namespace() -> bool:
    """Let an ordinary user make network namespaces; False where the kernel refuses.

    The user's network is then one of those: nobody but root may return to the host's.
    """
    uid, gid = os.getuid(), os.getgid()
    try:
        unshare(CLONE_NEWUSER)
    except OSError:
        return False
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    enter_new_netns()
    return True
