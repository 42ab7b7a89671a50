"""Holders kept from poll to poll: whatever happens to the fds, SHARES polls later all is right."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from sockwatch.kernel.proc.fd_tables import SHARES, FdTables
from sockwatch.kernel.proc.holders import FDS_SHOWN
from tests.support.child import become, idle_child, in_child
from tests.support.libc import check, libc
from tests.support.privilege import REAL_ROOT

CLONE_FILES = 0x400


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    first, second = socket.socketpair()
    with first, second:
        yield first, second


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def found(tables: FdTables, *socks: socket.socket) -> set[tuple[int, int]]:
    """(pid, fd) of the holders of the first, in a poll that shows all of them."""
    tables.update({inode(sock) for sock in socks})
    held = tables.holders({inode(socks[0])})
    return {(holder.pid, holder.fd) for holder in held.get(inode(socks[0]), ())}


def test_a_fork_inherits(pair: tuple[socket.socket, socket.socket]) -> None:
    tables, me = FdTables(), (os.getpid(), pair[0].fileno())
    assert found(tables, *pair) == {me}
    with idle_child() as child:
        assert found(tables, *pair) == {me, (child, pair[0].fileno())}
    assert found(tables, *pair) == {me}


def test_an_fd_that_comes_to_be_another_socket(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """With as many fds as before, and both sockets still there."""
    tables = FdTables()
    reused = os.dup(pair[0].fileno())
    try:
        found(tables, *pair)
        os.dup2(pair[1].fileno(), reused)
        for _ in range(SHARES):
            seen = found(tables, *pair)
        assert seen == {(os.getpid(), pair[0].fileno())}
        assert (os.getpid(), reused) in found(tables, pair[1], pair[0])
    finally:
        os.close(reused)


def test_an_fd_that_was_a_file(pair: tuple[socket.socket, socket.socket]) -> None:
    tables = FdTables()
    reused = os.open("/dev/null", os.O_RDONLY)
    try:
        found(tables, *pair)
        os.dup2(pair[1].fileno(), reused)
        for _ in range(SHARES):
            seen = found(tables, pair[1], pair[0])
        assert (os.getpid(), reused) in seen
    finally:
        os.close(reused)


def test_a_thread_with_a_table_of_its_own(pair: tuple[socket.socket, socket.socket]) -> None:
    tables, opened, seen = FdTables(), threading.Event(), threading.Event()
    socks: list[socket.socket] = []

    def keep() -> None:
        check(libc.unshare(CLONE_FILES))
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            socks.append(sock)
            opened.set()
            seen.wait()

    found(tables, *pair)
    thread = threading.Thread(target=keep)
    thread.start()
    try:
        opened.wait()
        number = int(
            os.readlink(f"/proc/{os.getpid()}/task/{thread.native_id}/fd/{socks[0].fileno()}")[8:-1]
        )
        tables.update({inode(pair[0]), number})
        assert {holder.pid for holder in tables.holders({number})[number]} == {os.getpid()}
    finally:
        seen.set()
        thread.join()


def test_no_more_fds_than_are_shown(pair: tuple[socket.socket, socket.socket]) -> None:
    tables = FdTables()
    with ExitStack() as stack:
        for _ in range(FDS_SHOWN + 10):
            stack.enter_context(pair[0].dup())
        assert len(found(tables, *pair)) == FDS_SHOWN
        with idle_child() as child:
            assert len(found(tables, *pair)) == 2 * FDS_SHOWN
        assert child not in {pid for pid, _ in found(tables, *pair)}


@pytest.mark.skipif(not REAL_ROOT, reason="needs to become another user")
def test_a_process_that_hides_its_fds(pair: tuple[socket.socket, socket.socket]) -> None:
    def look() -> tuple[set[int], int]:
        with idle_child():
            become(12_345)
            tables = FdTables()
            pids = {pid for pid, _ in found(tables, *pair)}
            return pids - {os.getpid()}, tables.unreadable

    others, unreadable = in_child(look)
    assert others == set()
    assert unreadable > 0
