"""What MPTCP servers leave behind is told as TCP's is, also by BPF, which cannot cast it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import Port, Snapshot, SocketGroup
from tests.support.child import become, in_child
from tests.support.privilege import REAL_ROOT

MPTCP = 262
PORT = 8080


@pytest.fixture
def stack(netns: None) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        try:
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP))
        except OSError as error:
            pytest.skip(f"no MPTCP on this kernel: {error.strerror}")
        yield stack


def leave(stack: ExitStack, family: int = socket.AF_INET, *, reuseaddr: bool = False) -> None:
    """Close a server's end of a connection first, and then the client's; the server goes too."""
    address = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.socket(family, socket.SOCK_STREAM, MPTCP) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuseaddr)
        server.bind((address, PORT))
        server.listen()
        client = stack.enter_context(socket.socket(family, socket.SOCK_STREAM, MPTCP))
        client.connect((address, PORT))
        accepted = server.accept()[0]
    accepted.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    client.close()
    assert accepted.recv(1) == b""
    accepted.close()


def settled(only_port: int | None) -> tuple[Snapshot, Port]:
    """A snapshot in which the port has nothing but mini sockets: MPTCP closes by itself."""
    with SnapshotReader() as reader:
        while True:
            snapshot = reader.take(only_port)
            found = snapshot.port("tcp", PORT)
            if found is None or all(group.mini for group in found.groups):
                break
    assert found is not None
    return snapshot, found


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("only_port", [PORT, None])
@pytest.mark.parametrize("reuseaddr", [False, True])
def test_a_time_wait_has_its_clock(
    stack: ExitStack, family: int, only_port: int | None, reuseaddr: bool
) -> None:
    leave(stack, family, reuseaddr=reuseaddr)
    snapshot, found = settled(only_port)
    assert {group.state for group in found.groups} == {"TIME_WAIT"}
    for group in found.groups:
        assert group.first_frees_in_s is not None
        assert group.last_frees_in_s is not None
        assert 50 < group.first_frees_in_s <= group.last_frees_in_s <= 60
        if REAL_ROOT:
            assert group.flags.reuseaddr is reuseaddr
    assert found.time_wait.last_frees_in_s is not None
    assert "time-wait-groups" not in {gap.code for gap in snapshot.gaps}


@pytest.mark.skipif(not REAL_ROOT, reason="needs a second user")
def test_root_is_told_what_an_ordinary_user_is(stack: ExitStack) -> None:
    leave(stack)
    _, as_root = settled(PORT)

    def as_user() -> tuple[SocketGroup, ...]:
        become(1234)
        return settled(PORT)[1].groups

    for group in (*as_root.groups, *in_child(as_user)):
        assert (group.state, group.count) == ("TIME_WAIT", 1)
        assert group.last_frees_in_s is not None
        assert 50 < group.last_frees_in_s <= 60
