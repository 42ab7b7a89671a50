"""What the kernel remembers of SO_REUSEPORT and nothing shows: EADDRINUSE is never certain then."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest

from sockwatch.bind import BindRequest, explain_bind
from sockwatch.bind.kernels import Quirk
from sockwatch.kernel.snapshot import SnapshotReader
from tests.bind.quirk_trials import has_quirk
from tests.support.privilege import REAL_ROOT, needs_bound

pytestmark = needs_bound

PORT = 8080
SHARE = socket.SO_REUSEPORT


def bound(address: str, *, share: bool = True) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, SHARE, share)
    sock.bind((address, PORT))
    return sock


def cleared_after_bind() -> list[socket.socket]:
    sock = bound("0.0.0.0")
    sock.setsockopt(socket.SOL_SOCKET, SHARE, 0)
    return [sock]


def cleared_after_listen() -> list[socket.socket]:
    sock = bound("127.0.0.1")
    sock.listen()
    sock.setsockopt(socket.SOL_SOCKET, SHARE, 0)
    return [sock]


def given_to_another_user() -> list[socket.socket]:
    if not REAL_ROOT:
        pytest.skip("needs a second user")
    sock = bound("127.0.0.1")
    os.fchown(sock.fileno(), 1234, 1234)
    return [sock]


def accepted_from_one_that_cleared_it() -> list[socket.socket]:
    sock = bound("127.0.0.1")
    sock.listen()
    sock.setsockopt(socket.SOL_SOCKET, SHARE, 0)
    client = socket.create_connection(("127.0.0.1", PORT))
    accepted = sock.accept()[0]
    sock.close()
    return [client, accepted]


@pytest.mark.parametrize(
    "make",
    [
        cleared_after_bind,
        cleared_after_listen,
        given_to_another_user,
        accepted_from_one_that_cleared_it,
    ],
)
def test_the_kernel_may_skip_its_test(netns: None, make: Callable[[], list[socket.socket]]) -> None:
    owners = make()
    request = BindRequest("tcp", "127.0.0.1", PORT, reuseport=True)
    with SnapshotReader() as reader:
        verdict = explain_bind(request, reader.take(PORT))
    assert verdict.bind in ("EADDRINUSE", "depends")
    assert "port-memory" in {gap.code for gap in verdict.gaps} or verdict.bind == "depends"
    bound("127.0.0.1").close()  # it does
    for sock in owners:
        sock.close()


@pytest.mark.parametrize("reuseaddr", [False, True])
def test_without_the_flag_there_is_nothing_to_remember(netns: None, reuseaddr: bool) -> None:
    (owner,) = cleared_after_bind()
    request = BindRequest("tcp", "127.0.0.1", PORT, reuseaddr=reuseaddr)
    with owner, SnapshotReader() as reader:
        verdict = explain_bind(request, reader.take(PORT))
    assert verdict.bind == "EADDRINUSE"
    remembers = reuseaddr and has_quirk(Quirk.REUSEADDR_MEMORY)
    assert ("port-memory" in {gap.code for gap in verdict.gaps}) == remembers


def test_an_address_that_it_does_not_cover_is_refused_for_certain(netns: None) -> None:
    with bound("127.0.0.2", share=False), SnapshotReader() as reader:
        verdict = explain_bind(
            BindRequest("tcp", "0.0.0.0", PORT, reuseport=True), reader.take(PORT)
        )
        assert verdict.bind == "EADDRINUSE"
        covers_all = has_quirk(Quirk.REUSEPORT_MEMORY_OF_ANY_ADDRESS)
        assert ("port-memory" in {gap.code for gap in verdict.gaps}) == covers_all
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, SHARE, 1)
            with pytest.raises(OSError, match="Address already in use"):
                sock.bind(("0.0.0.0", PORT))
