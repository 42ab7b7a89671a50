"""Network namespaces that are kept alive in each of the ways in which that can be done."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from sockwatch.kernel.netns.handles import namespace_id
from tests.support.child import idle_child
from tests.support.libc import check, libc
from tests.support.netns import CLONE_NEWNS, enter_new_netns, fresh_netns, netns_inode, unshare

MS_BIND = 4096
MS_REC_PRIVATE = 0x4000 | (1 << 18)
MNT_DETACH = 2
NAMES: Final = Path("/run/netns")
OWN: Final = b"/proc/thread-self/ns/net"
Kept: TypeAlias = AbstractContextManager[int]  # the number of a namespace, while it is kept


def private_mounts(*, empty: Path = Path("/run")) -> None:
    """Give this process mounts of its own, in which that folder is empty."""
    unshare(CLONE_NEWNS)
    check(libc.mount(None, b"/", None, MS_REC_PRIVATE, None))
    check(libc.mount(b"none", os.fsencode(empty), b"tmpfs", 0, None))


def give_name(path: Path) -> None:
    """Keep this thread's network namespace by mounting it there, as `ip netns add` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    check(libc.mount(OWN, os.fsencode(path), None, MS_BIND, None))


def take_name(path: Path) -> None:
    """As `ip netns delete` does."""
    check(libc.umount2(os.fsencode(path), MNT_DETACH))
    path.unlink()


def own_id() -> int:
    """The id of this thread's network namespace; skips the test where it has none."""
    fd = os.open(OWN, os.O_RDONLY)
    identity = namespace_id(fd)
    os.close(fd)
    if identity is None:
        pytest.skip("this kernel has no ids of namespaces")
    return identity


@contextmanager
def by_process() -> Iterator[int]:
    """A process is in it."""
    with idle_child(enter_new_netns) as pid:
        yield os.stat(f"/proc/{pid}/ns/net").st_ino


@contextmanager
def by_name(name: str = "blue") -> Iterator[int]:
    """It has a name and no process. In private mounts only."""
    with fresh_netns():
        give_name(NAMES / name)
        inode = netns_inode()
    yield inode
    take_name(NAMES / name)


@contextmanager
def by_fd() -> Iterator[int]:
    """This process has an fd of it."""
    with fresh_netns():
        fd = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    yield os.fstat(fd).st_ino
    os.close(fd)


@contextmanager
def by_socket() -> Iterator[int]:
    """This process has a listener in it, and has gone back."""
    with fresh_netns():
        listener = socket.create_server(("127.0.0.1", 0))
        inode = netns_inode()
    with listener:
        yield inode


@contextmanager
def by_thread() -> Iterator[int]:
    """One thread of this process is in it."""
    inside: list[int] = []
    is_inside, is_over = threading.Event(), threading.Event()

    def visit() -> None:
        enter_new_netns()
        inside.append(netns_inode())
        is_inside.set()
        is_over.wait()

    thread = threading.Thread(target=visit)
    thread.start()
    is_inside.wait()
    yield inside[0]
    is_over.set()
    thread.join()


@contextmanager
def by_mount_elsewhere() -> Iterator[int]:
    """A process has mounted it in a mount namespace of its own, and is not in it."""
    reader, writer = os.pipe()

    def prepare() -> None:
        private_mounts()
        with fresh_netns():
            give_name(Path("/run/hidden/netns"))
            os.write(writer, str(netns_inode()).encode())

    with idle_child(prepare):
        inode = int(os.read(reader, 32))
        os.close(reader)
        os.close(writer)
        yield inode


KINDS: Final[dict[str, Callable[[], Kept]]] = {
    "process": by_process,
    "name": by_name,
    "fd": by_fd,
    "socket": by_socket,
    "thread": by_thread,
    "mount elsewhere": by_mount_elsewhere,
}
