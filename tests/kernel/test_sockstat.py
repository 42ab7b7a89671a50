"""The kernel's counts of sockets, beside sockets that were made."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from sockwatch.kernel.sockstat import read_segments, read_sockstat
from tests.support.time_waits import make_time_waits
from tests.support.waiting import wait_until


def counts() -> tuple[int, int, int]:
    read = read_sockstat()
    assert read is not None
    assert read.is_empty == (read[:3] == (0, 0, 0))
    return read[:3]


def test_both_families_and_each_kind_are_counted(netns: None) -> None:
    assert counts() == (0, 0, 0)
    with ExitStack() as stack:
        make_time_waits(3, 1, stack, keep_open=2)
        families = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
        for number, (family, address) in enumerate(families):
            datagrams = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            datagrams.bind((address, 0))
            server = stack.enter_context(socket.socket(family))
            server.bind((address, 0))
            assert counts() == (5 + number, 3, 1 + number)
            server.listen()  # before, it was not counted
        assert counts() == (7, 3, 2)


def test_a_bound_socket_is_in_use_and_not_counted(netns: None) -> None:
    wait_until(lambda: used() == 0)  # the kernel may still be freeing one
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert (counts(), used()) == ((0, 0, 0), 1)


def used() -> int:
    read = read_sockstat()
    assert read is not None
    return read.used


def test_segments_are_counted_as_they_come(netns: None) -> None:
    assert read_segments() == 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert read_segments() == 0
        with socket.create_connection(server.getsockname()):
            assert read_segments() == 3
