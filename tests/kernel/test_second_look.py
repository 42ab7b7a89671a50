"""Sockets that move between the kernel's lists while they are read: never is such a port free."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sockwatch import wait_until_free
from sockwatch.bind import BindRequest, explain_bind
from sockwatch.kernel.surroundings import take_snapshot
from tests.support.child import idle_child
from tests.support.libc import libc

PORT = 9002
LOOKS = 25


def listen_and_stop(sock: socket.socket) -> None:
    sock.listen()
    sock.shutdown(socket.SHUT_RDWR)


def connect_and_part(sock: socket.socket) -> None:
    """connect() to AF_UNSPEC makes it a bound socket again: it keeps the port it bound."""
    sock.connect(("127.0.0.1", PORT + 1))
    unspecified = (0).to_bytes(16, "little")
    libc.connect(sock.fileno(), unspecified, len(unspecified))


@contextmanager
def moving(move: Callable[[socket.socket], None]) -> Iterator[None]:
    """A child whose bound socket moves all the time."""

    def start() -> None:
        sock = socket.socket()
        sock.bind(("127.0.0.1", PORT))

        def forever() -> None:
            while True:
                move(sock)

        threading.Thread(target=forever, daemon=True).start()

    with idle_child(start):
        yield


def outcomes(request: BindRequest, looks: int = LOOKS) -> set[str]:
    return {explain_bind(request, take_snapshot(request.port)).bind for _ in range(looks)}


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_socket_that_listens_and_stops_is_in_every_look(netns: None, address: str) -> None:
    with moving(listen_and_stop):
        assert outcomes(BindRequest("tcp", address, PORT)) == {"EADDRINUSE"}


def test_one_that_connects_and_parts_is_too(netns: None) -> None:
    with socket.create_server(("127.0.0.1", PORT + 1), backlog=4096), moving(connect_and_part):
        assert outcomes(BindRequest("tcp", "127.0.0.1", PORT)) == {"EADDRINUSE"}


def test_a_wait_does_not_end_while_a_socket_moves(netns: None) -> None:
    with moving(listen_and_stop):
        assert wait_until_free(BindRequest("tcp", "0.0.0.0", PORT), 0.3).bind == "EADDRINUSE"


def test_churn_beside_a_free_port_ends(netns: None) -> None:
    """Connections that come and go are no reason to look for ever."""
    with socket.create_server(("127.0.0.1", PORT)) as server:
        done = threading.Event()

        def churn() -> None:
            while not done.is_set():
                socket.create_connection(("127.0.0.1", PORT)).close()
                server.accept()[0].close()

        thread = threading.Thread(target=churn)
        thread.start()
        try:
            assert outcomes(BindRequest("tcp", "127.0.0.9", PORT), 5) == {"ok"}
            assert outcomes(BindRequest("tcp", "127.0.0.1", PORT), 5) == {"EADDRINUSE"}
        finally:
            done.set()
            thread.join()
