"""The flags read are the flags set, in every state, for all four pairs and three families."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from sockwatch.kernel.bpf.iterators import SocketIterators
from tests.kernel.bpf.sockets import (
    ALL_FLAGS,
    BOUND_CASES,
    CLOSE,
    HALF_OPEN,
    LISTEN,
    TCP_CASES,
    UDP_CASES,
    Flags,
    address_of,
    flags_of,
)
from tests.support.child import in_netns
from tests.support.netns import netns_inode
from tests.support.privilege import needs_task_files
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from sockwatch.kernel.bpf.rows import SocketRow

    Make = Callable[[Flags], list[socket.socket]]


@pytest.mark.parametrize(
    ("make", "state", "mini"), TCP_CASES, ids=[make.__name__ for make, *_ in TCP_CASES]
)
@in_netns
def test_tcp(make: Make, state: int, mini: bool) -> None:
    with SocketIterators() as iterators:
        kept = []
        for flags in ALL_FLAGS:
            sockets = make(flags)
            kept.append(sockets)
            port = sockets[0].getsockname()[1]

            def matching(port: int = port) -> list[SocketRow]:
                rows = iterators.tcp_summary(port).rows
                assert all(row.port == port for row in rows)
                return [row for row in rows if (row.state, row.is_mini != 0) == (state, mini)]

            (row,) = wait_until(matching)
            # The kernel leaves what was in memory before in a request's flags: we say 0.
            assert row.flags == 0 if state == HALF_OPEN else flags_of(row) == flags
            # Of an unaccepted or half-open one, sockets[0] is the listener.
            has_fd = sockets[0].family != socket.AF_UNIX and (
                state == LISTEN or sockets[0].getsockopt(socket.SOL_SOCKET, 30) == 0
            )
            assert row.inode == (os.fstat(sockets[0].fileno()).st_ino if has_fd else 0)
            if state != LISTEN:
                address = "127.0.0.1" if flags.family == socket.AF_INET else "::1"
                assert row.family == flags.family
                assert address_of(row) == address
            assert (row.frees_in_jiffies > 0) == mini
        summary = iterators.tcp_summary()
        assert summary.spilled == 0
        subjects = {sockets[0].getsockname()[1] for sockets in kept}
        grouped = sum(group.sockets for group in summary.counts if group.port in subjects)
        assert grouped == (len(ALL_FLAGS) if mini else 0)
        assert not any(row.is_mini for row in summary.rows)


@needs_task_files
@pytest.mark.parametrize("make", BOUND_CASES, ids=lambda make: make.__name__)
@in_netns
def test_bound_only(make: Make) -> None:
    with SocketIterators() as iterators:
        for flags in ALL_FLAGS:
            (sock,) = make(flags)
            port = sock.getsockname()[1]
            assert list(iterators.tcp_summary(port).rows) == []
            (row,) = iterators.task_files(netns_inode(), port)
            assert flags_of(row) == flags
            assert row.state == CLOSE
            assert (row.pid, row.fd) == (os.getpid(), sock.fileno())
            assert row.inode == os.fstat(sock.fileno()).st_ino


@needs_task_files
@pytest.mark.parametrize(("make", "state"), UDP_CASES, ids=[make.__name__ for make, _ in UDP_CASES])
@in_netns
def test_udp(make: Make, state: int) -> None:
    with SocketIterators() as iterators:
        kept = []
        for flags in ALL_FLAGS:
            (sock,) = make(flags)
            kept.append(sock)
            port = sock.getsockname()[1]
            (row,) = iterators.udp(port)
            assert flags_of(row) == flags
            assert row.state == state
            assert row.inode == os.fstat(sock.fileno()).st_ino
            (held,) = iterators.task_files(netns_inode(), port)
            assert held._replace(pid=0, fd=0, netns_inode=0) == row
            assert (held.pid, held.fd) == (os.getpid(), sock.fileno())
        assert len(iterators.udp()) == len(ALL_FLAGS)


@in_netns
def test_a_v4_mapped_address_keeps_its_family_and_a_device_its_index() -> None:
    with (
        SocketIterators() as iterators,
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock,
    ):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        sock.bind(("::ffff:127.0.0.1", 0))
        sock.listen()
        (row,) = iterators.tcp_summary(sock.getsockname()[1]).rows
        assert row.family == socket.AF_INET6
        assert address_of(row) == "::ffff:127.0.0.1"
        assert row.device == socket.if_nametoindex("lo")
